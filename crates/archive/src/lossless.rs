//! L0: columns of a window, bit-exact OTLP back.
