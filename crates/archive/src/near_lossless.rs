//! L1: every trace, times and numbers to their bin.
