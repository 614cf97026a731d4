//! Online clustering with a flat kernel: one step of mean shift for each arrival.
//!
//! A point joins the nearest centre within the bandwidth and pulls it towards itself; else it founds
//! a cluster. Centres that come within half a bandwidth of each other merge; weights fade, so that
//! a cluster nobody joins any more makes room.
//!
//! Whether two centres have met is looked at only when they can have: a centre's distance to the
//! nearest other shrinks by no more than all centres have moved since it was measured.

use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};

/// Clusters at most; beyond, the lightest gives way.
const N_MAX: usize = 64;
/// What is left of a weight one point later: half of it 5,000 points later.
const KEPT: f64 = 0.999_861_4;
/// A centre moves by 1/n of the distance, as long as n is below this.
const INERTIA_MAX: f64 = 1000.0;
/// More than distances are rounded by.
const ROUNDING: f64 = 1e-3;
/// Weights are brought back into range when the unit has grown so far.
const UNIT_MAX: f64 = 1e60;

const N_COORDINATES: usize = 5;

/// A point or centre: percentiles of a distribution.
pub(super) type Point = [f32; N_COORDINATES];

/// A cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cluster {
    /// Never used twice.
    pub(super) id: u32,
    pub(super) centre: Point,
    /// Fading number of points, in units.
    weight: f64,
    /// No other centre is nearer than this less what all centres have moved.
    clear: f64,
}

/// The nearest cluster of a point, until the next one is learned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    /// Its position.
    pub(super) idx: usize,
    /// Whether the point would join it.
    pub(super) is_within: bool,
}

/// All clusters.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    bandwidth: f32,
    list: Vec<Cluster>,
    /// The centres again, by coordinate: so the nearest is found without a jump. Infinite where there is
    /// none.
    columns: Box<[[f32; N_MAX]; N_COORDINATES]>,
    /// How far all centres together have moved.
    moved: f64,
    total: f64,
    unit: f64,
    next_id: u32,
}

impl Clusters {
    pub(super) fn new(bandwidth: f32) -> Self {
        let columns = Box::new([[f32::INFINITY; N_MAX]; N_COORDINATES]);
        Self { bandwidth, list: Vec::new(), columns, moved: 0.0, total: 0.0, unit: 1.0, next_id: 0 }
    }

    /// Writes all clusters.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.next_id);
        writer.f64(self.total / self.unit);
        writer.u32(self.list.len() as u32);
        for cluster in &self.list {
            writer.u32(cluster.id);
            writer.f64(cluster.weight / self.unit);
            for x in cluster.centre {
                writer.f32(x);
            }
        }
    }

    /// The reverse of [`Clusters::write`].
    pub(super) fn read(reader: &mut Reader<'_>, bandwidth: f32) -> Result<Self, Error> {
        let next_id = reader.u32()?;
        let mut clusters = Self { next_id, total: reader.count()?, ..Self::new(bandwidth) };
        let n = reader.u32()?;
        if n as usize > N_MAX {
            return Err(reader.corrupt("it holds more clusters than may be held"));
        }
        for _ in 0..n {
            let (id, weight) = (reader.u32()?, reader.count()?);
            let mut centre = Point::default();
            for x in &mut centre {
                *x = reader.amount()?;
            }
            clusters.push(Cluster { id, centre, weight, clear: 0.0 });
        }
        Ok(clusters)
    }

    /// The clusters; a position changes with the next point, the id does not.
    pub(super) fn list(&self) -> &[Cluster] {
        &self.list
    }

    /// Share of a cluster among all points.
    pub(super) fn share(&self, cluster: &Cluster) -> f64 {
        cluster.weight / self.total.max(f64::MIN_POSITIVE)
    }

    /// The cluster with the nearest centre, however far.
    pub(super) fn nearest(&self, point: &Point) -> Option<Near> {
        let (idx, distance) = self.nearest_but(point, usize::MAX)?;
        Some(Near { idx, is_within: distance <= self.bandwidth })
    }

    /// Adds a point, whose nearest cluster is known.
    pub(super) fn learn(&mut self, point: &Point, near: Option<Near>) {
        self.unit /= KEPT;
        self.total += self.unit;
        match near {
            Some(Near { idx, is_within: true }) => self.join(idx, point),
            _ => self.found(point),
        }
        if self.unit > UNIT_MAX {
            for cluster in &mut self.list {
                cluster.weight /= self.unit;
            }
            (self.total, self.unit) = (self.total / self.unit, 1.0);
        }
    }

    fn join(&mut self, idx: usize, point: &Point) {
        let cluster = &mut self.list[idx];
        cluster.weight += self.unit;
        let step = 1.0 / (cluster.weight / self.unit).min(INERTIA_MAX) as f32;
        let before = cluster.centre;
        for (centre, x) in cluster.centre.iter_mut().zip(point) {
            *centre += step * (x - *centre);
        }
        self.place(idx, &before);
        let cluster = self.list[idx];
        let bound = 0.5 * f64::from(self.bandwidth);
        if cluster.clear - self.moved >= bound + ROUNDING {
            return;
        }
        let Some((other, distance)) = self.nearest_but(&cluster.centre, idx) else { return };
        if distance < 0.5 * self.bandwidth {
            self.merge(idx, other);
        } else {
            self.list[idx].clear = self.moved + f64::from(distance);
        }
    }

    fn merge(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        let gone = self.remove(b);
        let stays = &mut self.list[a];
        let weight = stays.weight + gone.weight;
        let part = (gone.weight / weight) as f32;
        let before = stays.centre;
        for (centre, x) in stays.centre.iter_mut().zip(gone.centre) {
            *centre += part * (x - *centre);
        }
        // The heavier one gives the name.
        if gone.weight > stays.weight {
            stays.id = gone.id;
        }
        stays.weight = weight;
        stays.clear = 0.0;
        self.place(a, &before);
    }

    fn found(&mut self, point: &Point) {
        if self.list.len() >= N_MAX {
            let weights = self.list.iter().map(|cluster| cluster.weight).enumerate();
            if let Some((lightest, weight)) = weights.min_by(|a, b| a.1.total_cmp(&b.1)) {
                self.total -= weight;
                self.remove(lightest);
            }
        }
        for cluster in &mut self.list {
            let distance = f64::from(root_mean(square(point, &cluster.centre)));
            cluster.clear = cluster.clear.min(self.moved + distance);
        }
        self.push(Cluster { id: self.next_id, centre: *point, weight: self.unit, clear: 0.0 });
        self.next_id = self.next_id.wrapping_add(1);
    }

    fn push(&mut self, cluster: Cluster) {
        self.list.push(cluster);
        self.place(self.list.len() - 1, &cluster.centre);
    }

    fn remove(&mut self, idx: usize) -> Cluster {
        let gone = self.list.swap_remove(idx);
        let last = self.list.len();
        for column in self.columns.iter_mut() {
            column[idx] = column[last];
            column[last] = f32::INFINITY;
        }
        gone
    }

    /// Notes where a centre stands now, and how far that is from where it stood.
    fn place(&mut self, idx: usize, before: &Point) {
        let centre = self.list[idx].centre;
        self.moved += f64::from(root_mean(square(&centre, before)));
        for (column, x) in self.columns.iter_mut().zip(centre) {
            column[idx] = x;
        }
    }

    /// The nearest centre but for one, and its root mean square distance.
    fn nearest_but(&self, point: &Point, but: usize) -> Option<(usize, f32)> {
        let mut sums = [0.0_f32; N_MAX];
        for (column, x) in self.columns.iter().zip(point) {
            for (sum, centre) in sums.iter_mut().zip(column) {
                *sum += (x - centre) * (x - centre);
            }
        }
        if let Some(sum) = sums.get_mut(but) {
            *sum = f32::INFINITY;
        }
        let (idx, sum) = least(&sums);
        (sum < f32::INFINITY).then(|| (idx, root_mean(sum)))
    }
}

/// Position of the least number, the first of equal ones, and that number.
fn least(sums: &[f32; N_MAX]) -> (usize, f32) {
    /// Looked at side by side.
    const N_LANES: usize = 8;
    let mut lanes = [f32::INFINITY; N_LANES];
    for chunk in sums.chunks_exact(N_LANES) {
        for (lane, &sum) in lanes.iter_mut().zip(chunk) {
            *lane = if sum < *lane { sum } else { *lane };
        }
    }
    let least = lanes.into_iter().fold(f32::INFINITY, f32::min);
    (sums.iter().position(|&sum| sum <= least).unwrap_or(0), least)
}

fn square(a: &Point, b: &Point) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

fn root_mean(sum: f32) -> f32 {
    (sum / N_COORDINATES as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(clusters: &mut Clusters, point: &Point) {
        let near = clusters.nearest(point);
        clusters.learn(point, near);
    }

    fn at(x: f32) -> Point {
        [x; 5]
    }

    #[test]
    fn points_gather_around_their_centres() {
        let mut clusters = Clusters::new(1.0);
        for i in 0..1000 {
            let wobble = (i % 7) as f32 / 20.0;
            learn(&mut clusters, &at(if i % 10 == 0 { 2.0 } else { 9.0 } + wobble));
        }
        assert_eq!(clusters.list().len(), 2);
        let rare = clusters.list()[clusters.nearest(&at(2.2)).unwrap().idx];
        assert!((clusters.share(&rare) - 0.1).abs() < 0.01);
        assert!((rare.centre[0] - 2.15).abs() < 0.1, "{:?}", rare.centre);
        assert!(!clusters.nearest(&at(30.0)).unwrap().is_within);
    }

    #[test]
    fn clusters_are_bounded_and_their_shares_add_up() {
        let mut clusters = Clusters::new(0.1);
        for i in 0..10_000_u32 {
            learn(&mut clusters, &at((i.wrapping_mul(2_654_435_761) % 1000) as f32));
        }
        assert!(clusters.list().len() <= N_MAX);
        let sum: f64 = clusters.list().iter().map(|cluster| clusters.share(cluster)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn centres_that_meet_merge() {
        let mut clusters = Clusters::new(1.0);
        learn(&mut clusters, &at(0.0));
        learn(&mut clusters, &at(1.5));
        assert_eq!(clusters.list().len(), 2);
        for x in [0.5, 1.05, 0.8] {
            for _ in 0..200 {
                learn(&mut clusters, &at(x));
            }
        }
        assert_eq!(clusters.list().len(), 1);
    }

    /// Guarantees: no centre is nearer to another than its bound says, whatever comes, and none that has
    /// just moved is within half a bandwidth of another.
    #[test]
    fn centres_never_come_nearer_than_their_bounds_say() {
        let mut clusters = Clusters::new(1.0);
        let mut seed = 1_u64;
        let mut unit = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f32 / 16_777_216.0
        };
        for i in 0..20_000 {
            let base = (unit() * 40.0).floor() + i as f32 / 5_000.0;
            let point: Point = std::array::from_fn(|_| base + unit());
            learn(&mut clusters, &point);
            if i % 97 != 0 {
                continue;
            }
            for (idx, cluster) in clusters.list().iter().enumerate() {
                let nearest = clusters.nearest_but(&cluster.centre, idx).map(|(_, d)| d);
                let bound = cluster.clear - clusters.moved;
                assert!(nearest.is_none_or(|d| f64::from(d) >= bound - ROUNDING), "{i} {idx}");
            }
        }
        assert!(clusters.list().len() > 10);
    }
}
