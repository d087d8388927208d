//! kubevirt
