//! Against numbers of the Python packages, and of the definition by finite differences.

use std::collections::BTreeMap;

use crate::architecture::Architecture;
use crate::critic::{Critic, Draws};
use crate::error::Error;
use crate::fields::Field;
use crate::frozen::{Frozen, Precision, Scratch, Value};
use crate::gan::{Data, Gan, Training, Values, cross_entropy};
use crate::generator::{self, Generator, Sizes};
use crate::layer::{Adam, Param};
use crate::matrix::Matrix;
use crate::mixture::Mixture;
use crate::normaliser::Normaliser;
use crate::random::Random;
use crate::rows::{Block, Rows};
use crate::sampling::{Batch, Sampler, Sampling};

const RECORDED: &str = include_str!("../tests/fixtures/ctgan.txt");
/// Of numbers that passed through a few layers in `f32` on both sides.
const TOLERANCE: f32 = 2e-4;
const BLOCKS: [Block; 3] = [Block::Scalar, Block::Choice(3), Block::Choice(2)];
const FIELDS: [Field; 1] = [Field::Plain { n_in: 5 }];
const SIZES: Sizes<'static> = Sizes {
    n_noise: 3,
    noise_embedding: None,
    fields: &FIELDS,
    residual: &[4, 3],
    blocks: &BLOCKS,
};

struct Recorded(BTreeMap<&'static str, Vec<f64>>);

impl Recorded {
    fn read() -> Self {
        let line = |line: &'static str| {
            let (name, numbers) = line.split_once(' ').unwrap();
            (name, numbers.split(' ').map(|number| number.parse().unwrap()).collect())
        };
        Self(RECORDED.lines().map(line).collect())
    }

    fn of(&self, name: &str) -> Vec<f32> {
        self.0[name].iter().map(|&x| x as f32).collect()
    }

    fn matrix(&self, name: &str, n_cols: usize) -> Matrix {
        Matrix::of(n_cols, self.of(name))
    }

    fn fill(&self, params: &mut [(&'static str, &mut Param)], prefix: &str) {
        for (name, param) in params {
            param.value = self.of(&format!("{prefix}.{name}"));
        }
    }

    fn check(&self, name: &str, own: &[f32]) {
        let expected = self.of(name);
        assert_eq!(own.len(), expected.len(), "{name}");
        for (own, expected) in own.iter().zip(expected) {
            let scale = expected.abs().max(0.1);
            assert!((own - expected).abs() <= TOLERANCE * scale, "{name}: {own} for {expected}");
        }
    }

    /// After a step: parameters whose gradient is rounding noise move by chance on both sides.
    fn check_step(&self, name: &str, prefix: &str, own: &[f32], gradient: &[f32]) {
        let expected = self.of(&format!("step_{prefix}.{name}"));
        for ((own, expected), g) in own.iter().zip(expected).zip(gradient) {
            let is_noise = g.abs() < 1e-5;
            assert!(is_noise || (own - expected).abs() < 2e-6, "{name}: {own} for {expected}");
        }
    }

    fn dropout(&self, run: &str) -> Vec<Matrix> {
        [5, 4]
            .into_iter()
            .enumerate()
            .map(|(at, n)| self.matrix(&format!("mask.{run}.{at}"), n))
            .collect()
    }
}

fn generator_params(generator: &mut Generator) -> Vec<(&'static str, &mut Param)> {
    let names = [
        ["seq.0.fc.weight", "seq.0.fc.bias", "seq.0.bn.weight", "seq.0.bn.bias"],
        ["seq.1.fc.weight", "seq.1.fc.bias", "seq.1.bn.weight", "seq.1.bn.bias"],
    ];
    let names = names.into_iter().flatten().chain(["seq.2.weight", "seq.2.bias"]);
    names.zip(generator.params()).collect()
}

fn critic_params(critic: &mut Critic) -> Vec<(&'static str, &mut Param)> {
    let names =
        ["seq.0.weight", "seq.0.bias", "seq.3.weight", "seq.3.bias", "seq.6.weight", "seq.6.bias"];
    names.into_iter().zip(critic.params()).collect()
}

fn networks(recorded: &Recorded) -> (Generator, Critic) {
    let mut random = Random::new(1, 0);
    let mut generator = Generator::new(&SIZES, &mut random);
    let mut critic = Critic::new(&FIELDS, 6, 2, &[5, 4], &mut random);
    recorded.fill(&mut generator_params(&mut generator), "g");
    recorded.fill(&mut critic_params(&mut critic), "d");
    (generator, critic)
}

fn pass(recorded: &Recorded, generator: &Generator) -> generator::Pass {
    let draws = generator::Draws {
        noise: recorded.matrix("noise", 3),
        gumbel: recorded.matrix("gumbel", 6),
    };
    let all = Matrix::of(6, vec![1.0; 24]);
    generator.forward(draws, &[recorded.matrix("condition", 5)], &all)
}

#[test]
fn the_generator_yields_the_recorded_rows() {
    let recorded = Recorded::read();
    let (generator, _) = networks(&recorded);
    let pass = pass(&recorded, &generator);
    recorded.check("logits", pass.logits.data());
    recorded.check("fake", pass.rows.data());
}

#[test]
fn a_step_of_each_network_is_the_recorded_one() {
    let recorded = Recorded::read();
    let (mut generator, mut critic) = networks(&recorded);
    let inputs = [recorded.matrix("condition", 5)];
    let draws = Draws {
        fake: recorded.dropout("fake"),
        real: recorded.dropout("real"),
        between: recorded.dropout("between"),
        shares: recorded.of("share"),
    };
    let pass = pass(&recorded, &generator);
    let loss = critic.learn(&recorded.matrix("real", 6), &pass.rows, &inputs, &draws);
    recorded.check("loss_d", &[loss.fake, loss.real, loss.penalty]);
    step(&recorded, "d", critic_params(&mut critic));

    let (loss, d_rows) = critic.judge(&pass.rows, &inputs, &recorded.dropout("judge"));
    // The choices asked for: units 0, 4, 2 and 3 of the condition.
    let mut rows = Rows::new(6);
    rows.push([(1, 1.0), (4, 1.0)]);
    let sampler = Sampler::new(Sampling::Choices, &rows, &BLOCKS);
    let choices = vec![(0, 0), (1, 1), (0, 2), (1, 0)];
    let batch = Batch { rows: vec![0; 4], choices };
    assert_eq!(sampler.condition(&batch).unwrap(), inputs[0]);
    let (entropy, d_logits) = cross_entropy(&pass.logits, &sampler, &batch).unwrap();
    recorded.check("loss_g", &[loss, entropy]);
    generator.learn(&pass, &inputs, &d_rows, Some(&d_logits));
    step(&recorded, "g", generator_params(&mut generator));
}

fn step(recorded: &Recorded, prefix: &str, mut params: Vec<(&'static str, &mut Param)>) {
    let mut gradients = Vec::new();
    for (name, param) in &params {
        recorded.check(&format!("grad_{prefix}.{name}"), &param.grad);
        gradients.push(param.grad.clone());
    }
    Adam::new(2e-4, 1e-6, 0.0).step(params.iter_mut().map(|(_, param)| &mut **param).collect());
    for ((name, param), gradient) in params.iter().zip(&gradients) {
        recorded.check_step(name, prefix, &param.value, gradient);
        assert!(param.grad.iter().all(|g| *g == 0.0));
    }
}

#[test]
fn the_mixture_is_scikit_learns() {
    let recorded = Recorded::read();
    let x = &recorded.0["mixture.x"];
    let labels: Vec<usize> = recorded.0["mixture.labels"].iter().map(|&l| l as usize).collect();
    let mixture = Mixture::fit_from(x, 10, &labels);
    for (at, own) in mixture.components.iter().enumerate() {
        let expected = |name: &str| recorded.0[&format!("mixture.{name}")[..]][at];
        let near = |own: f64, name: &str| {
            let expected = expected(name);
            assert!(
                (own - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "{name} {own} {expected}"
            );
        };
        near(own.weight, "weights");
        near(own.mean, "means");
        near(own.variance, "variances");
    }
}

#[test]
fn normalised_numbers_are_the_recorded_ones() {
    let recorded = Recorded::read();
    let of = |name: &str| &recorded.0[name];
    let kept = |at: &usize| of("mixture.weights")[*at] > 0.005;
    let modes =
        (0..10).filter(kept).map(|k| (of("mixture.means")[k], of("mixture.variances")[k].sqrt()));
    let normaliser = Normaliser::of(modes);
    let places = of("normalised.mode").iter().zip(of("normalised.place"));
    for (x, (mode, place)) in of("mixture.x").iter().zip(places) {
        assert!((f64::from(normaliser.place(*x, *mode as usize)) - place).abs() < 1e-6, "{x}");
    }
}

/// The penalty's gradients against differences of the penalty itself, embedded fields included.
#[test]
fn the_penalty_is_differentiated_exactly() {
    const STEP: f32 = 1e-2;
    let mut random = Random::new(3, 0);
    let fields = [Field::Rectified { n_in: 4, n_out: 3 }, Field::Linear { n_in: 2, n_out: 2 }];
    for hidden in [&[7][..], &[6, 5], &[5, 4, 3]] {
        let mut critic = Critic::new(&fields, 3, 2, hidden, &mut random);
        let normal = |n: usize, random: &mut Random| {
            Matrix::of(n, (0..n * 8).map(|_| random.normal()).collect())
        };
        let inputs = [normal(4, &mut random), normal(2, &mut random)];
        let embedded = critic.embedding.forward(&inputs);
        let packs = critic.packs(&normal(3, &mut random), &embedded);
        let dropout = critic.dropout(4, &mut random);
        let pass = critic.forward(packs.clone(), &dropout);
        critic.penalise(&pass);
        let gradients: Vec<Vec<f32>> = critic.params().map(|param| param.grad.clone()).collect();
        for (at, gradient) in gradients.iter().enumerate() {
            for (place, expected) in gradient.iter().enumerate().step_by(3) {
                let mut moved = |step: f32| {
                    critic.params().nth(at).unwrap().value[place] += step;
                    let pass = critic.forward(packs.clone(), &dropout);
                    let penalty = critic.penalise(&pass);
                    critic.params().nth(at).unwrap().value[place] -= step;
                    // A slope that changes sign on the way makes the difference meaningless.
                    (penalty, pass.slopes())
                };
                let (above, below) = (moved(STEP), moved(-STEP));
                let difference = (above.0 - below.0) / (2.0 * STEP);
                let is_smooth = above.1 == below.1;
                let scale = expected.abs().max(0.5);
                assert!(
                    !is_smooth || (difference - expected).abs() < 1e-2 * scale,
                    "{hidden:?} {at} {place}: {difference} {expected}"
                );
            }
        }
    }
}

/// The whole generator's gradients against differences, with embeddings and masks.
#[test]
fn the_generator_is_differentiated_exactly() {
    const STEP: f32 = 5e-3;
    let fields = [Field::Rectified { n_in: 4, n_out: 3 }, Field::Plain { n_in: 2 }];
    let sizes = Sizes { noise_embedding: Some(5), fields: &fields, ..SIZES };
    let mut random = Random::new(5, 0);
    let mut generator = Generator::new(&sizes, &mut random);
    let normal = |n: usize, random: &mut Random| {
        Matrix::of(n, (0..n * 6).map(|_| random.normal()).collect())
    };
    let inputs = [normal(4, &mut random), normal(2, &mut random)];
    let weights = normal(6, &mut random);
    let (noise, gumbel) = (normal(3, &mut random), normal(6, &mut random));
    let mut masks = Matrix::of(6, vec![1.0; 36]);
    masks.row_mut(2).copy_from_slice(&[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let run = |generator: &Generator| {
        let draws = generator::Draws { noise: noise.clone(), gumbel: gumbel.clone() };
        generator.forward(draws, &inputs, &masks)
    };
    let loss = |pass: &generator::Pass| -> f32 {
        pass.rows.data().iter().zip(weights.data()).map(|(y, w)| y * w).sum()
    };
    let pass = run(&generator);
    assert_eq!(pass.rows.row(2)[..1], [0.0]);
    assert_eq!(pass.rows.row(2)[4..], [0.0, 0.0]);
    generator.learn(&pass, &inputs, &weights, None);
    let gradients: Vec<Vec<f32>> = generator.params().map(|param| param.grad.clone()).collect();
    let (mut n_near, mut n_all) = (0, 0);
    for (at, gradient) in gradients.iter().enumerate() {
        for (place, expected) in gradient.iter().enumerate() {
            let mut moved = |step: f32| {
                generator.params().nth(at).unwrap().value[place] += step;
                let loss = loss(&run(&generator));
                generator.params().nth(at).unwrap().value[place] -= step;
                loss
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            n_near += usize::from((difference - expected).abs() < 0.05 * expected.abs().max(0.2));
            n_all += 1;
        }
    }
    // Rectifiers that switch within a step make a few differences meaningless.
    assert!(n_near * 100 > n_all * 95, "{n_near} of {n_all}");
}

fn small() -> Architecture {
    Architecture {
        n_noise: 8,
        noise_embedding: Some(8),
        residual: vec![16],
        critic: vec![32],
        pac: 5,
        ..Architecture::ctgan(
            vec![Field::Plain { n_in: 2 }],
            vec![Block::Scalar, Block::Choice(2), Block::Choice(3)],
        )
    }
}

/// Scenario: the scalar is -.5 or .4 and the first choice 0 or mostly 1, by the condition; the second
/// choice may be 2 for the second condition only.
#[test]
fn a_trained_generator_follows_its_condition() {
    let mut random = Random::new(9, 0);
    let (mut rows, mut of_row) = (Rows::new(6), Vec::new());
    for row in 0..1000_u32 {
        let second = row % 4 == 0;
        let place = if second { 0.4 } else { -0.5 } + 0.1 * random.normal();
        let choice = 1 + u16::from(second && row % 16 > 0);
        rows.push([(0, place), (choice, 1.0), (3 + u16::from(second) * 2, 1.0)]);
        of_row.push(u32::from(second));
    }
    let mut conditions = Rows::new(2);
    conditions.push([(0, 1.0)]);
    conditions.push([(1, 1.0)]);
    let mut masks = Rows::new(6);
    masks.push([0, 1, 2, 3].map(|unit| (unit, 1.0)));
    masks.push([0, 1, 2, 5].map(|unit| (unit, 1.0)));
    let values = |values| Values { values, of_row: &of_row };
    let data = Data {
        rows: &rows,
        conditions: vec![values(&conditions)],
        masks: Some(values(&masks)),
        sampling: Sampling::Groups(&of_row),
    };
    let mut gan = Gan::new(small(), &Training { rate: 2e-3, ..Training::default() }, 1);
    let mut losses = gan.epoch(&data);
    for _ in 0..150 {
        losses = gan.epoch(&data);
    }
    assert!(losses.penalty.is_finite() && (losses.real - losses.fake).abs() < 5.0, "{losses:?}");
    let frozen = gan.freeze(&data).rounded(&small(), Precision::Byte).unwrap();
    for (condition, (mean, share)) in [(-0.5, 0.0), (0.4, 0.75)].into_iter().enumerate() {
        let (mut sum, mut n_second) = (0.0, 0.0);
        let (mut scratch, mut values) = (Scratch::default(), Vec::new());
        for _ in 0..500 {
            let fields = [conditions.get(condition)];
            let allowed = Some(masks.get(condition));
            frozen.generate(&fields, allowed, &mut random, &mut scratch, &mut values);
            let [Value::Scalar(place), Value::Choice(choice), last] = values[..] else { panic!() };
            sum += place / 500.0;
            n_second += f32::from(choice.unwrap()) / 500.0;
            assert_eq!(last, Value::Choice(Some(condition as u16 * 2)));
        }
        assert!((sum - mean).abs() < 0.3 && (n_second - share).abs() < 0.25, "{sum} {n_second}");
    }
}

/// Guarantees: the same in debug and release builds and on every machine.
#[test]
fn stored_weights_give_the_rows_they_always_gave() {
    let architecture = small();
    // Any bytes are weights as long as the factors are small.
    let layers = [(8, 8), (10, 16), (26, 6)];
    let mut bytes = vec![1];
    for (n_in, n_out) in layers {
        bytes.extend((0..n_out).flat_map(|at| (0.01_f32 * at as f32).to_le_bytes()));
        bytes.extend((0..n_out).flat_map(|_| 0.004_f32.to_le_bytes()));
        bytes.extend((0..n_in * n_out).map(|at| (at * 73 % 251) as u8));
    }
    let frozen = Frozen::decode(&architecture, &bytes).unwrap();
    assert_eq!(frozen.encode(Precision::Full).len(), 1 + 4 * frozen.n_params());
    let (mut random, mut scratch, mut values) =
        (Random::new(11, 0), Scratch::default(), Vec::new());
    let mut hash = 0_u64;
    for row in 0..200 {
        frozen.generate(&[&[(row % 2, 1.0)]], None, &mut random, &mut scratch, &mut values);
        for value in &values {
            let bits = match value {
                Value::Scalar(x) => x.to_bits(),
                Value::Choice(choice) => u32::from(choice.unwrap()),
            };
            hash = hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(bits);
        }
    }
    assert_eq!(hash, GOLDEN, "{hash:#x}");
}

/// Of the rows of these weights and this seed, on the first machine that drew them.
const GOLDEN: u64 = 0x75e8_89b1_c5f0_7ef2;

#[test]
fn weights_of_another_length_or_kind_are_refused() {
    let architecture = small();
    let rows = Rows::new(6);
    let none = Rows::new(2);
    let conditions = vec![Values { values: &none, of_row: &[] }];
    let data = Data { rows: &rows, conditions, masks: None, sampling: Sampling::Uniform };
    let bytes = Gan::new(small(), &Training::default(), 1).freeze(&data).encode(Precision::Full);
    assert!(Frozen::decode(&architecture, &bytes).is_ok());
    let check = |bytes: &[u8], expected| {
        assert_eq!(Frozen::decode(&architecture, bytes).unwrap_err(), expected);
    };
    check(&bytes[..bytes.len() - 1], Error::Length);
    check(&[&bytes[..], &[0]].concat(), Error::Length);
    check(&[], Error::Length);
    check(&[&[9], &bytes[1..]].concat(), Error::Precision(9));
    let mut broken = bytes.clone();
    broken[1..5].copy_from_slice(&f32::NAN.to_le_bytes());
    check(&broken, Error::NotFinite);
}
