# What there is to run; each recipe is also plain cargo. `just check` is green before review.

# Lists the recipes.
default:
    @just --list --unsorted

# Runs every check: fmt, typos, tidy, clippy, test, doc, deny.
check *STEPS:
    cargo xtask check {{ STEPS }}

# Mends what tools can mend.
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# Runs the tests.
test *ARGS:
    cargo test --workspace {{ ARGS }}

# Runs the main job on a recorded sample, with faults.
demo *ARGS:
    cargo run --release -- demo {{ ARGS }}

# Prints the speed figures of docs/evaluation.md.
bench:
    cargo run --release -- bench hst
    cargo run --release -- bench ingest

# Prints the figures of STYLE.md section 5.
numbers:
    cargo xtask numbers

# Installs what `check` runs beyond cargo.
tools:
    bash scripts/install-tools.sh
