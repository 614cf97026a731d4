//! The Kubernetes backend: on a fake API server in the process, and, where `KUBECONFIG` is set, the
//! same cases on the real server it names.

mod cases;
mod cluster;
mod faults;
mod rights;
mod socket;
