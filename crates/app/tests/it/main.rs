//! The running product, from the outside: what is sent to it, what comes out, what it says.
#![cfg(test)]

mod forward;
mod incident;
mod sdk;
mod split;
mod support;
