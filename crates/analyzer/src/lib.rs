#![doc = include_str!("../README.md")]

pub mod rules;
pub mod statistics;
pub mod units;
pub mod words;
