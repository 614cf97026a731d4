//! Turns findings into scaling plans, or into reasons not to act.
