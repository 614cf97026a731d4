#![doc = include_str!("../README.md")]

mod container;
mod evaluation;
mod fidelity;
mod lossless;
mod near_lossless;
mod structured;
mod traces;
