//! L2 and L3: topology and errors exact, the rest from trees of conditionals.
