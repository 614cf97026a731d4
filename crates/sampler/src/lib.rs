//! Samples anomalous spans online, within a budget.
