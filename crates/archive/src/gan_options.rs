//! What the caller decides about the paper's networks. Here and not in their module, which is a
//! feature: a build without it still knows the words.

/// How the networks of Gen-T are built and trained. The defaults are the paper's where it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GanOptions {
    /// Passes over the window. Default 10.
    pub epochs: u32,
    /// Nodes of a chain, C, 2 to 5. Default 2: each edge is a chain.
    pub chain_length: u8,
    /// How the topology enters. Default [`TopologyCode::Convolution`].
    pub topology: TopologyCode,
    /// What a chain knows of its head. Default [`HeadMetadata::Given`].
    pub head: HeadMetadata,
    /// How times are represented. Default [`Times::Relative`].
    pub times: Times,
    /// What networks must find out by themselves. Default [`Support::PerPlace`].
    pub support: Support,
    /// Seed of training; that of generation is another. Default 0.
    pub seed: u64,
}

/// How a topology enters the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TopologyCode {
    /// A graph convolution, 32 wide.
    Convolution = 0,
    /// A unit for each topology and call site: the first ablation of appendix B.
    OneHot = 1,
}

/// What a chain knows of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HeadMetadata {
    /// Its metadata, as generated.
    Given = 0,
    /// Nothing: the second ablation of appendix B.
    Withheld = 1,
}

/// How times are represented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Times {
    /// A start for each trace from its own network, and gaps from the parent.
    Relative = 0,
    /// A start for each span among its metadata: the third ablation of appendix B.
    Absolute = 1,
}

/// What networks must find out by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Support {
    /// Times are normalised for each call site about the parent's duration, values that a site never
    /// had are not offered to it, and before anything is learnt, and again at the end, it draws what it
    /// has as often as it has it.
    PerSite = 0,
    /// All of it, as in the paper.
    Learned = 1,
    /// As [`Support::PerSite`], but places of a call site are told apart. Below a head that failed, if
    /// heads are given, it counts as another than below one that did not: errors spread along edges as
    /// often as they did. Times are normalised by what stands above and below a span.
    PerPlace = 2,
}

impl Support {
    /// Whether marginals of each call site are given.
    pub fn is_per_site(self) -> bool {
        self != Self::Learned
    }
}

impl GanOptions {
    /// Whether what a site has is told apart by the status of its head.
    pub fn tells_failed_heads(&self) -> bool {
        self.support == Support::PerPlace && self.head == HeadMetadata::Given
    }
}

impl Default for GanOptions {
    fn default() -> Self {
        Self {
            epochs: 10,
            chain_length: 2,
            topology: TopologyCode::Convolution,
            head: HeadMetadata::Given,
            times: Times::Relative,
            support: Support::PerPlace,
            seed: 0,
        }
    }
}
