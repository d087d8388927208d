//! openshift
