//! Mixtures of normal distributions in one dimension, with as many components as the data need:
//! variational inference of a truncated Dirichlet process, as scikit-learn's
//! `BayesianGaussianMixture` does it for one column.
//!
//! In the letters of section 10.2 of Bishop's book, with priors beta0 = 1, m0 = mean(x), nu0 = 1, c0 =
//! var(x), gamma0 = .001, the M step over responsibilities r is
//!
//! ```text
//! N_k = sum r + 10 eps      xb_k = sum r x / N_k      S_k = sum r (x - xb_k)^2 / N_k + 1e-6
//! a_k = 1 + N_k             b_k = gamma0 + sum_{j>k} N_j
//! beta_k = beta0 + N_k      mu_k = (beta0 m0 + N_k xb_k) / beta_k     nu_k = nu0 + N_k
//! var_k = (c0 + N_k (S_k + (beta0 / beta_k) (xb_k - m0)^2)) / nu_k
//! ```
//!
//! At most 100 rounds, until the bound moves by less than .001.

const N_ROUNDS: usize = 100;
const TOLERANCE: f64 = 1e-3;
const BETA_0: f64 = 1.0;
const NU_0: f64 = 1.0;
/// Added to every variance.
const REGULAR: f64 = 1e-6;
const LLOYD_ROUNDS: usize = 30;

/// A fitted mixture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mixture {
    /// Its components, ascending by mean when fitted with [`Mixture::fit`].
    pub components: Vec<Component>,
}

/// A component.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Component {
    /// Its weight; weights sum up to 1.
    pub weight: f64,
    /// Its mean.
    pub mean: f64,
    /// Its variance, above 0.
    pub variance: f64,
}

/// The variational posterior of a component.
#[derive(Clone, Copy, Debug, Default)]
struct Posterior {
    a: f64,
    b: f64,
    beta: f64,
    mu: f64,
    nu: f64,
    variance: f64,
}

/// Data with their priors, and responsibilities by point and component.
struct Fit<'a> {
    x: &'a [f64],
    n_components: usize,
    m_0: f64,
    c_0: f64,
    concentration: f64,
    responsibilities: Vec<f64>,
    posteriors: Vec<Posterior>,
}

impl Mixture {
    /// Fits at most `n_components`, starting from clusters around quantiles; drops those with weights
    /// up to `weight_min` and orders the others by mean. Values are finite; without values there is
    /// one component at 0.
    pub fn fit(x: &[f64], n_components: usize, weight_min: f64) -> Self {
        if x.is_empty() {
            let component = Component { weight: 1.0, mean: 0.0, variance: 1.0 };
            return Self { components: vec![component] };
        }
        let labels = clusters(x, n_components);
        let mut mixture = Self::fit_from(x, n_components, &labels);
        let most = mixture.components.iter().map(|c| c.weight).fold(0.0, f64::max);
        mixture.components.retain(|c| c.weight > weight_min || c.weight >= most);
        mixture.components.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        mixture
    }

    /// Fits `n_components`, starting from the cluster of each value. The components keep the order of
    /// the clusters.
    pub(crate) fn fit_from(x: &[f64], n_components: usize, labels: &[usize]) -> Self {
        let n = x.len() as f64;
        let m_0 = x.iter().sum::<f64>() / n;
        let squares: f64 = x.iter().map(|x| (x - m_0) * (x - m_0)).sum();
        // One value has no variance; any positive number serves.
        let c_0 = if x.len() > 1 && squares > 0.0 { squares / (n - 1.0) } else { REGULAR };
        let mut responsibilities = vec![0.0; x.len() * n_components];
        for (at, &label) in labels.iter().enumerate() {
            responsibilities[at * n_components + label] = 1.0;
        }
        let posteriors = vec![Posterior::default(); n_components];
        let concentration = 1e-3;
        let mut fit =
            Fit { x, n_components, m_0, c_0, concentration, responsibilities, posteriors };
        fit.maximise();
        let mut bound = f64::NEG_INFINITY;
        for _ in 0..N_ROUNDS {
            let entropy = fit.expect();
            fit.maximise();
            let last = std::mem::replace(&mut bound, fit.bound(entropy));
            if (bound - last).abs() < TOLERANCE {
                break;
            }
        }
        fit.mixture()
    }

    /// The logarithm of weight times density of each component at a value, in `out`.
    pub(crate) fn log_densities(&self, x: f64, out: &mut Vec<f64>) {
        out.clear();
        out.extend(self.components.iter().map(|c| {
            let z = (x - c.mean) * (x - c.mean) / c.variance;
            libm::log(c.weight.max(f64::MIN_POSITIVE)) - 0.5 * (z + libm::log(c.variance))
        }));
    }
}

impl Fit<'_> {
    fn maximise(&mut self) {
        let k = self.n_components;
        let mut sums = vec![(10.0 * f64::EPSILON, 0.0, 0.0); k];
        for (x, row) in self.x.iter().zip(self.responsibilities.chunks_exact(k)) {
            for (sum, r) in sums.iter_mut().zip(row) {
                sum.0 += r;
                sum.1 += r * x;
            }
        }
        for sum in &mut sums {
            sum.1 /= sum.0;
        }
        for (x, row) in self.x.iter().zip(self.responsibilities.chunks_exact(k)) {
            for (sum, r) in sums.iter_mut().zip(row) {
                sum.2 += r * (x - sum.1) * (x - sum.1);
            }
        }
        let mut after = 0.0;
        for (posterior, &(n, mean, squares)) in self.posteriors.iter_mut().zip(&sums).rev() {
            let s = squares / n + REGULAR;
            let (beta, nu) = (BETA_0 + n, NU_0 + n);
            let away = (mean - self.m_0) * (mean - self.m_0);
            *posterior = Posterior {
                a: 1.0 + n,
                b: self.concentration + after,
                beta,
                mu: (BETA_0 * self.m_0 + n * mean) / beta,
                nu,
                variance: (self.c_0 + n * (s + BETA_0 / beta * away)) / nu,
            };
            after += n;
        }
    }

    /// Sets the responsibilities; returns the sum of r ln r.
    fn expect(&mut self) -> f64 {
        let k = self.n_components;
        let mut constants = Vec::with_capacity(k);
        let mut left = 0.0;
        for p in &self.posteriors {
            let both = digamma(p.a + p.b);
            let log_weight = digamma(p.a) - both + left;
            left += digamma(p.b) - both;
            let spread = std::f64::consts::LN_2 + digamma(0.5 * p.nu) - 1.0 / p.beta;
            let tau = 2.0 * std::f64::consts::PI;
            let density = -0.5 * (libm::log(tau) + libm::log(p.variance) + libm::log(p.nu));
            constants.push(log_weight + density + 0.5 * spread);
        }
        let mut entropy = 0.0;
        for (x, row) in self.x.iter().zip(self.responsibilities.chunks_exact_mut(k)) {
            let mut greatest = f64::NEG_INFINITY;
            for ((r, p), constant) in row.iter_mut().zip(&self.posteriors).zip(&constants) {
                *r = constant - 0.5 * (x - p.mu) * (x - p.mu) / p.variance;
                greatest = greatest.max(*r);
            }
            let sum: f64 = row.iter().map(|r| libm::exp(r - greatest)).sum();
            let norm = greatest + libm::log(sum);
            for r in row {
                let log = *r - norm;
                *r = libm::exp(log);
                entropy += *r * log;
            }
        }
        entropy
    }

    /// The variational lower bound up to a constant.
    fn bound(&self, entropy: f64) -> f64 {
        let mut bound = -entropy;
        for p in &self.posteriors {
            let log_det = -0.5 * (libm::log(p.variance) + libm::log(p.nu));
            let wishart = p.nu * log_det + p.nu * 0.5 * std::f64::consts::LN_2;
            bound += wishart + libm::lgamma(0.5 * p.nu);
            bound += libm::lgamma(p.a) + libm::lgamma(p.b) - libm::lgamma(p.a + p.b);
            bound -= 0.5 * libm::log(p.beta);
        }
        bound
    }

    fn mixture(&self) -> Mixture {
        let mut left = 1.0;
        let mut components = Vec::with_capacity(self.n_components);
        for p in &self.posteriors {
            let weight = left * p.a / (p.a + p.b);
            left *= p.b / (p.a + p.b);
            components.push(Component { weight, mean: p.mu, variance: p.variance });
        }
        let sum: f64 = components.iter().map(|c| c.weight).sum();
        for component in &mut components {
            component.weight /= sum;
        }
        Mixture { components }
    }
}

/// The derivative of ln gamma at x > 0.
fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32_760.0];
    let tail = series.iter().rev().fold(0.0, |sum, c| (sum + c) * inverse);
    shift + libm::log(x) - 0.5 / x - tail
}

/// Lloyd's algorithm from quantiles: in one dimension a start as good as any, and the same each time.
fn clusters(x: &[f64], n_clusters: usize) -> Vec<usize> {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |k: usize| sorted[(2 * k + 1) * (sorted.len() - 1) / (2 * n_clusters)];
    let mut centres: Vec<f64> = (0..n_clusters).map(at).collect();
    let nearest = |centres: &[f64], x: f64| {
        let after = centres.partition_point(|c| *c < x);
        let near = [after.saturating_sub(1), after.min(centres.len() - 1)];
        if (x - centres[near[0]]).abs() <= (centres[near[1]] - x).abs() { near[0] } else { near[1] }
    };
    for _ in 0..LLOYD_ROUNDS {
        let mut sums = vec![(0.0, 0.0); n_clusters];
        for &x in &sorted {
            let sum = &mut sums[nearest(&centres, x)];
            *sum = (sum.0 + x, sum.1 + 1.0);
        }
        for (centre, sum) in centres.iter_mut().zip(sums) {
            if sum.1 > 0.0 {
                *centre = sum.0 / sum.1;
            }
        }
        centres.sort_by(f64::total_cmp);
    }
    x.iter().map(|&x| nearest(&centres, x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn modes_are_found_and_no_more() {
        let mut random = Random::new(3, 0);
        let x: Vec<f64> = (0..3000)
            .map(|at| f64::from(random.normal()) * 0.2 + if at % 3 == 0 { 5.0 } else { -1.0 })
            .collect();
        let mixture = Mixture::fit(&x, 10, 0.005);
        let near =
            |mean: f64| mixture.components.iter().filter(move |c| (c.mean - mean).abs() < 0.5);
        let weight = |mean: f64| near(mean).map(|c| c.weight).sum::<f64>();
        assert!((weight(5.0) - 1.0 / 3.0).abs() < 0.02, "{mixture:?}");
        assert!((weight(-1.0) - 2.0 / 3.0).abs() < 0.02, "{mixture:?}");
        assert!(mixture.components.is_sorted_by(|a, b| a.mean <= b.mean));
    }

    #[test]
    fn degenerate_data_have_a_mixture_too() {
        for x in [vec![], vec![3.0], vec![2.0; 50]] {
            let mixture = Mixture::fit(&x, 10, 0.005);
            let is_finite =
                |c: &Component| c.mean.is_finite() && c.variance > 0.0 && c.weight > 0.0;
            assert!(!mixture.components.is_empty(), "{x:?}");
            assert!(mixture.components.iter().all(is_finite), "{x:?} {mixture:?}");
        }
    }

    #[test]
    fn digamma_is_that_of_tables() {
        let table = [
            (1.0, -0.577_215_664_901_532_9),
            (0.5, -1.963_510_026_021_423_5),
            (50.0, 3.901_989_673_427_89),
        ];
        for (x, expected) in table {
            assert!((digamma(x) - expected).abs() < 1e-12, "{x} {}", digamma(x));
        }
    }
}
