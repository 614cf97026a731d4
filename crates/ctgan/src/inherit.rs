//! A warm start: weights from networks of an earlier table whose units mean other things in part.
//!
//! Units are matched by name. What both tables have keeps its weights, what is new starts at random;
//! the optimisers start afresh.

use crate::fields::{Embedding, Field};
use crate::gan::Gan;
use crate::layer::Linear;

/// What units mean: equal numbers are the same unit in two tables. Distinct within a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Units of each field.
    pub fields: Vec<Vec<u64>>,
    /// Units of a row.
    pub row: Vec<u64>,
}

/// For each unit its place among the old ones.
type Map = Vec<Option<usize>>;

impl Gan {
    /// Takes over what an earlier pair of networks knows of the same units; `false`, and nothing
    /// taken, if hidden layers differ. Both names fit their architectures.
    pub fn inherit(&mut self, names: &Names, old: &Self, theirs: &Names) -> bool {
        let (own, other) = (self.architecture(), old.architecture());
        let is_same = (own.n_noise, own.noise_embedding, &own.residual, &own.critic, own.pac)
            == (other.n_noise, other.noise_embedding, &other.residual, &other.critic, other.pac)
            && own.fields.len() == other.fields.len()
            && own.fields.iter().zip(&other.fields).all(|(a, b)| is_alike(*a, *b));
        if !is_same {
            return false;
        }
        let fields: Vec<Map> =
            names.fields.iter().zip(&theirs.fields).map(|(own, old)| map(own, old)).collect();
        let row = map(&names.row, &theirs.row);
        self.inherit_generator(old, &fields, &row);
        self.inherit_critic(old, &fields, &row);
        true
    }

    fn inherit_generator(&mut self, old: &Self, fields: &[Map], row: &Map) {
        let (generator, old) = (&mut self.generator, &old.generator);
        let mut n_old = old.n_noise;
        if let (Some(own), Some(old)) = (&mut generator.noise, &old.noise) {
            copy(own, old, &identity(old.n_in), &identity(old.n_out));
            n_old = old.n_out;
        }
        copy_fields(&mut generator.embedding, &old.embedding, fields);
        let mut x = identity(n_old);
        append_fields(&mut x, &mut n_old, &old.embedding, fields);
        for ((linear, norm), (old_linear, old_norm)) in
            generator.residual.iter_mut().zip(&old.residual)
        {
            let outs = identity(old_linear.n_out);
            copy(linear, old_linear, &x, &outs);
            norm.scale.value.clone_from(&old_norm.scale.value);
            norm.shift.value.clone_from(&old_norm.shift.value);
            let moved = x.iter().map(|unit| unit.map(|unit| unit + old_linear.n_out));
            x = outs.into_iter().chain(moved).collect();
        }
        copy(&mut generator.out, &old.out, &x, row);
    }

    fn inherit_critic(&mut self, old: &Self, fields: &[Map], row: &Map) {
        let mut n_old = old.architecture().row_width();
        let (critic, old) = (&mut self.critic, &old.critic);
        copy_fields(&mut critic.embedding, &old.embedding, fields);
        let mut one = row.clone();
        append_fields(&mut one, &mut n_old, &old.embedding, fields);
        let pack = |at: usize| one.iter().map(move |unit| unit.map(|unit| unit + at * n_old));
        let mut ins: Map = (0..critic.pac).flat_map(pack).collect();
        let layers = critic.hidden.iter_mut().zip(&old.hidden);
        for (own, old) in layers.chain([(&mut critic.out, &old.out)]) {
            copy(own, old, &ins, &identity(old.n_out));
            ins = identity(old.n_out);
        }
    }
}

fn is_alike(own: Field, old: Field) -> bool {
    match (own, old) {
        (Field::Plain { .. }, Field::Plain { .. }) => true,
        (Field::Linear { n_out: a, .. }, Field::Linear { n_out: b, .. })
        | (Field::Rectified { n_out: a, .. }, Field::Rectified { n_out: b, .. }) => a == b,
        _ => false,
    }
}

fn map(own: &[u64], old: &[u64]) -> Map {
    let mut places: Vec<(u64, usize)> = old.iter().copied().zip(0..).collect();
    places.sort_unstable();
    let place = |name: &u64| {
        let at = places.binary_search_by_key(name, |place| place.0).ok()?;
        Some(places[at].1)
    };
    own.iter().map(place).collect()
}

fn identity(n: usize) -> Map {
    (0..n).map(Some).collect()
}

/// Appends the units that fields have inside a network.
fn append_fields(x: &mut Map, n_old: &mut usize, old: &Embedding, fields: &[Map]) {
    for ((field, layer), map) in old.fields.iter().zip(fields) {
        let from = *n_old;
        match layer {
            None => x.extend(map.iter().map(|unit| unit.map(|unit| unit + from))),
            Some(layer) => x.extend((0..layer.n_out).map(|unit| Some(unit + from))),
        }
        *n_old += field.n_out();
    }
}

fn copy_fields(own: &mut Embedding, old: &Embedding, fields: &[Map]) {
    for (((_, own), (_, old)), map) in own.fields.iter_mut().zip(&old.fields).zip(fields) {
        if let (Some(own), Some(old)) = (own, old) {
            copy(own, old, map, &identity(old.n_out));
        }
    }
}

fn copy(own: &mut Linear, old: &Linear, ins: &Map, outs: &Map) {
    for (out, from) in outs.iter().enumerate() {
        let Some(from) = from else { continue };
        own.bias.value[out] = old.bias.value[*from];
        for (at, unit) in ins.iter().enumerate() {
            if let Some(unit) = unit {
                own.weight.value[at * own.n_out + out] = old.weight.value[unit * old.n_out + from];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::frozen::{Scratch, Value};
    use crate::gan::{Data, Training, Values};
    use crate::random::Random;
    use crate::rows::{Block, Rows};
    use crate::sampling::Sampling;

    fn architecture(n_plain: usize, n_linear: usize, n_choices: usize) -> Architecture {
        Architecture {
            n_noise: 4,
            noise_embedding: Some(6),
            residual: vec![8],
            critic: vec![8],
            pac: 2,
            ..Architecture::ctgan(
                vec![Field::Plain { n_in: n_plain }, Field::Linear { n_in: n_linear, n_out: 3 }],
                vec![Block::Scalar, Block::Choice(n_choices)],
            )
        }
    }

    /// Guarantees: a table whose units are the same in another order, with new ones between, gets the
    /// same rows for the same condition.
    #[test]
    fn units_keep_what_they_know_wherever_they_move() {
        let training = Training::default();
        let old = Gan::new(architecture(2, 3, 2), &training, 1);
        let mut own = Gan::new(architecture(3, 4, 3), &training, 2);
        let theirs = Names { fields: vec![vec![10, 11], vec![20, 21, 22]], row: vec![1, 5, 6] };
        let names =
            Names { fields: vec![vec![11, 99, 10], vec![98, 22, 20, 21]], row: vec![1, 6, 97, 5] };
        assert!(own.inherit(&names, &old, &theirs));
        let row = |gan: &Gan, plain: u16, linear: u16, allowed: &[u16]| {
            let rows = Rows::new(gan.architecture().row_width());
            let (none, of_row) = (Rows::new(1), []);
            let conditions = vec![Values { values: &none, of_row: &of_row }; 2];
            let data = Data { rows: &rows, conditions, masks: None, sampling: Sampling::Uniform };
            let frozen = gan.freeze(&data);
            let allowed: Vec<(u16, f32)> = allowed.iter().map(|unit| (*unit, 1.0)).collect();
            let fields = [&[(plain, 1.0)][..], &[(linear, 1.0)]];
            let (mut scratch, mut values) = (Scratch::default(), Vec::new());
            let mut random = Random::new(3, 0);
            frozen.generate(&fields, Some(&allowed), &mut random, &mut scratch, &mut values);
            values
        };
        // Plain unit "11", linear unit "22", and of the choices only "6".
        let before = row(&old, 1, 2, &[0, 2]);
        let after = row(&own, 0, 1, &[0, 1]);
        let (Value::Scalar(a), Value::Scalar(b)) = (before[0], after[0]) else { panic!() };
        assert!((a - b).abs() < 1e-6, "{a} {b}");
        assert_eq!((before[1], after[1]), (Value::Choice(Some(1)), Value::Choice(Some(0))));
    }

    #[test]
    fn networks_of_other_sizes_are_left_alone() {
        let old = Gan::new(architecture(1, 1, 2), &Training::default(), 1);
        let wide = Architecture { residual: vec![9], ..architecture(1, 1, 2) };
        let mut own = Gan::new(wide, &Training::default(), 1);
        let names = Names { fields: vec![vec![1], vec![1]], row: vec![1, 2, 3] };
        assert!(!own.inherit(&names, &old, &names));
    }
}
