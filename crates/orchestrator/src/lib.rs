//! Carries out scaling plans on Kubernetes, by a command, or not at all.
