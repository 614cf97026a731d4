//! Figures of the Gen-T paper that stand beside ours.
//!
//! They were measured on recordings that are not to be had (Wildrydes, HotROD), so they are bars to
//! look at, not rows of the same experiment. From the text where it names them, else from the data
//! the authors plot.

/// A published row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Who.
    pub method: &'static str,
    /// Bytes of 15,000 traces, if given.
    pub bytes: Option<u64>,
    /// F1 of Q1.
    pub q1: Option<f64>,
    /// Distance of Q2.
    pub q2: Option<f64>,
    /// F1 of Q3.
    pub q3: Option<f64>,
    /// F1 of Q4.
    pub q4: Option<f64>,
    /// Tree edit distance, as a share.
    pub tree_edit_distance: Option<f64>,
}

const NOTHING: Published = Published {
    method: "",
    bytes: None,
    q1: None,
    q2: None,
    q3: None,
    q4: None,
    tree_edit_distance: None,
};

const fn gen_t(method: &'static str, q3: f64, q4: Option<f64>) -> Published {
    Published {
        method,
        bytes: Some(695_000),
        q1: Some(0.87),
        q2: Some(0.35),
        q3: Some(q3),
        q4,
        ..NOTHING
    }
}

const fn head(method: &'static str, q3: f64) -> Published {
    Published { method, q3: Some(q3), ..NOTHING }
}

/// All of them. Q3 is the mean of two runs over 15,000 traces. The figure of the paper divides head
/// sampling's F1 by 1.05 before it draws; these are not divided.
pub const ROWS: [Published; 14] = [
    gen_t("gen-t, 1 epoch", 0.857, Some(0.65)),
    gen_t("gen-t, 3 epochs", 0.880, None),
    gen_t("gen-t, 5 epochs", 0.910, None),
    gen_t("gen-t, 10 epochs", 0.910, None),
    gen_t("gen-t, 30 epochs", 0.884, None),
    Published { q2: Some(0.24), q4: Some(0.87), ..head("head:5", 0.973) },
    Published { q1: Some(0.89), q2: Some(0.36), q4: Some(0.43), ..head("head:10", 0.943) },
    Published { bytes: Some(678_000), q1: Some(0.84), q2: Some(0.41), ..head("head:15", 0.913) },
    head("head:20", 0.893),
    head("head:30", 0.841),
    head("head:50", 0.738),
    head("head:100", 0.546),
    Published {
        method: "netshare",
        bytes: Some(60_000_000),
        tree_edit_distance: Some(0.455),
        ..NOTHING
    },
    Published { method: "tabformer", tree_edit_distance: Some(0.475), ..NOTHING },
];

/// A period of Fig. 6.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// What changed.
    pub name: &'static str,
    /// Q3, Q1, Q2, Q4 of Gen-T.
    pub gen_t: [f64; 4],
    /// The same of 1:5 head sampling.
    pub head5: [f64; 4],
}

/// The periods of Fig. 6. In the paper error counts of samples are not scaled in this figure, so
/// that the Q3 of 1:5 here is lower than it would be.
pub const PERIODS: [Period; 4] = [
    Period {
        name: "base",
        gen_t: [0.754, 0.747, 0.226, 0.916],
        head5: [0.719, 0.906, 0.111, 0.867],
    },
    Period {
        name: "2x errors",
        gen_t: [0.871, 0.898, 0.201, 0.884],
        head5: [0.849, 0.934, 0.074, 0.806],
    },
    Period {
        name: "2x traces",
        gen_t: [0.875, 0.883, 0.201, 0.866],
        head5: [0.906, 0.969, 0.039, 0.840],
    },
    Period {
        name: "half the errors",
        gen_t: [0.837, 0.888, 0.207, 0.891],
        head5: [0.608, 0.933, 0.065, 0.852],
    },
];

/// Appendix B's ablation (Fig. 8): name, then Q3, Q1, Q4, Q2.
pub const ABLATION: [(&str, [f64; 4]); 4] = [
    ("gen-t", [0.895, 0.799, 0.931, 0.192]),
    ("one-hot topology", [0.872, 0.799, 0.894, 0.236]),
    ("no head metadata", [0.715, 0.797, 0.836, 0.242]),
    ("absolute start", [0.252, 0.605, 0.513, 0.379]),
];
