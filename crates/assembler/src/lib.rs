//! Gathers spans into traces in a bounded window.
