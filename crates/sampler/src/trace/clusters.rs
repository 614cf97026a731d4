//! Online clustering with a flat kernel: one step of mean shift for each arrival.
//!
//! A point joins the nearest centre within the bandwidth and pulls it towards itself; else it founds
//! a cluster. Centres that come within half a bandwidth of each other merge; weights fade, so that
//! a cluster nobody joins any more makes room.

use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};

/// Clusters at most; beyond, the lightest gives way.
const N_MAX: usize = 64;
/// What is left of a weight one point later: half of it 5,000 points later.
const KEPT: f64 = 0.999_861_4;
/// A centre moves by 1/n of the distance, as long as n is below this.
const INERTIA_MAX: f64 = 1000.0;
/// Weights are brought back into range when the unit has grown so far.
const UNIT_MAX: f64 = 1e60;

/// A point or centre: percentiles of a distribution.
pub(super) type Point = [f32; 5];

/// A cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cluster {
    /// Never used twice.
    pub(super) id: u32,
    pub(super) centre: Point,
    /// Fading number of points, in units.
    weight: f64,
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
    total: f64,
    unit: f64,
    next_id: u32,
}

impl Clusters {
    pub(super) fn new(bandwidth: f32) -> Self {
        Self { bandwidth, list: Vec::new(), total: 0.0, unit: 1.0, next_id: 0 }
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
            clusters.list.push(Cluster { id, centre, weight });
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
        for (centre, x) in cluster.centre.iter_mut().zip(point) {
            *centre += step * (x - *centre);
        }
        let centre = cluster.centre;
        if let Some((other, distance)) = self.nearest_but(&centre, idx)
            && distance < 0.5 * self.bandwidth
        {
            self.merge(idx, other);
        }
    }

    fn merge(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        let gone = self.list.swap_remove(b);
        let stays = &mut self.list[a];
        let weight = stays.weight + gone.weight;
        let part = (gone.weight / weight) as f32;
        for (centre, x) in stays.centre.iter_mut().zip(gone.centre) {
            *centre += part * (x - *centre);
        }
        // The heavier one gives the name.
        if gone.weight > stays.weight {
            stays.id = gone.id;
        }
        stays.weight = weight;
    }

    fn found(&mut self, point: &Point) {
        if self.list.len() >= N_MAX {
            let weights = self.list.iter().map(|cluster| cluster.weight).enumerate();
            if let Some((lightest, weight)) = weights.min_by(|a, b| a.1.total_cmp(&b.1)) {
                self.total -= weight;
                self.list.swap_remove(lightest);
            }
        }
        self.list.push(Cluster { id: self.next_id, centre: *point, weight: self.unit });
        self.next_id = self.next_id.wrapping_add(1);
    }

    /// The nearest centre but for one, and its root mean square distance.
    fn nearest_but(&self, point: &Point, but: usize) -> Option<(usize, f32)> {
        let distances = self.list.iter().enumerate().filter(|&(idx, _)| idx != but);
        let distances = distances.map(|(idx, cluster)| (idx, square(point, &cluster.centre)));
        let (idx, sum) = distances.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((idx, (sum / point.len() as f32).sqrt()))
    }
}

fn square(a: &Point, b: &Point) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
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
}
