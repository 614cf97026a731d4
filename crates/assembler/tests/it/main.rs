//! What the assembler promises from outside.
#![cfg(test)]

mod bounds;
mod figures;
mod span;
mod timing;
