#![doc = include_str!("../README.md")]

mod draw;
pub mod otelgen;
pub mod synthetic;
