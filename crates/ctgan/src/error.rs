//! What can be wrong with stored weights and with tables.

/// Why a generator was not read or a mixture not fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More or fewer bytes than the sizes ask for.
    #[error("weights do not have the length that their sizes ask for")]
    Length,
    /// An unknown way to store weights.
    #[error("weights are stored in an unknown way, {0}")]
    Precision(u8),
    /// Infinity or not a number.
    #[error("weights hold a number that is not finite")]
    NotFinite,
}
