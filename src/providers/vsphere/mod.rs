//! VMware vSphere over SOAP.
