//! The Kubernetes kinds that a migration touches, named once.

use kube::core::{ApiResource, GroupVersionKind};

/// A Kubernetes kind: what a path, a manifest and a journal entry need to name an object of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// API version without the group.
    pub version: &'static str,
    /// Kind in CamelCase.
    pub kind: &'static str,
    /// Plural as it stands in request paths.
    pub plural: &'static str,
    /// Whether objects of this kind live in a namespace.
    pub namespaced: bool,
}

impl Kind {
    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What `kube::Api` wants for dynamic objects, without asking the cluster's discovery.
    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group, self.version, self.kind), self.plural)
    }

    /// The kind of an object as it stands in a manifest or a journal, if it is one that we know.
    pub fn find(api_version: &str, kind: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|k| k.kind == kind && k.api_version() == api_version)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        $($(#[$doc])* pub const $name: Kind = Kind { group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced };)*
        /// Every kind named in this module.
        pub const ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    /// Core Namespace.
    NAMESPACE = "" "v1" "Namespace" "namespaces" false;
    /// Core Node.
    NODE = "" "v1" "Node" "nodes" false;
    /// Core Secret.
    SECRET = "" "v1" "Secret" "secrets" true;
    /// Core ConfigMap.
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" true;
    /// Core Pod.
    POD = "" "v1" "Pod" "pods" true;
    /// Core Service.
    SERVICE = "" "v1" "Service" "services" true;
    /// Core ServiceAccount.
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" true;
    /// Core Event.
    EVENT = "" "v1" "Event" "events" true;
    /// Core PersistentVolumeClaim.
    PVC = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    /// Core PersistentVolume.
    PV = "" "v1" "PersistentVolume" "persistentvolumes" false;
    /// Batch Job.
    JOB = "batch" "v1" "Job" "jobs" true;
    /// Apps Deployment.
    DEPLOYMENT = "apps" "v1" "Deployment" "deployments" true;
    /// ClusterRoleBinding.
    CLUSTER_ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false;
    /// StorageClass.
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses" false;
    /// How much room a storage class has somewhere.
    CSI_STORAGE_CAPACITY = "storage.k8s.io" "v1" "CSIStorageCapacity" "csistoragecapacities" true;
    /// CustomResourceDefinition.
    CRD = "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" false;
    /// Forklift Provider.
    PROVIDER = "forklift.konveyor.io" "v1beta1" "Provider" "providers" true;
    /// Forklift StorageMap.
    STORAGE_MAP = "forklift.konveyor.io" "v1beta1" "StorageMap" "storagemaps" true;
    /// Forklift NetworkMap.
    NETWORK_MAP = "forklift.konveyor.io" "v1beta1" "NetworkMap" "networkmaps" true;
    /// Forklift Plan.
    PLAN = "forklift.konveyor.io" "v1beta1" "Plan" "plans" true;
    /// Forklift Migration.
    MIGRATION = "forklift.konveyor.io" "v1beta1" "Migration" "migrations" true;
    /// Forklift Hook.
    HOOK = "forklift.konveyor.io" "v1beta1" "Hook" "hooks" true;
    /// Forklift Host (ESXi credentials).
    HOST = "forklift.konveyor.io" "v1beta1" "Host" "hosts" true;
    /// Forklift Conversion (virt-v2v run).
    CONVERSION = "forklift.konveyor.io" "v1beta1" "Conversion" "conversions" true;
    /// Forklift's operator settings.
    FORKLIFT_CONTROLLER = "forklift.konveyor.io" "v1beta1" "ForkliftController" "forkliftcontrollers" true;
    /// Forklift's server for the appliances of an OVA provider.
    OVA_PROVIDER_SERVER = "forklift.konveyor.io" "v1beta1" "OVAProviderServer" "ovaproviderservers" true;
    /// Forklift's server for a Hyper-V provider.
    HYPERV_PROVIDER_SERVER = "forklift.konveyor.io" "v1beta1" "HyperVProviderServer" "hypervproviderservers" true;
    /// Fills a claim from an oVirt disk.
    OVIRT_VOLUME_POPULATOR = "forklift.konveyor.io" "v1beta1" "OvirtVolumePopulator" "ovirtvolumepopulators" true;
    /// Fills a claim from an OpenStack image.
    OPENSTACK_VOLUME_POPULATOR = "forklift.konveyor.io" "v1beta1" "OpenstackVolumePopulator" "openstackvolumepopulators" true;
    /// Fills a claim from a vSphere disk inside the storage array.
    VSPHERE_XCOPY_VOLUME_POPULATOR = "forklift.konveyor.io" "v1beta1" "VSphereXcopyVolumePopulator" "vspherexcopyvolumepopulators" true;
    /// KubeVirt VirtualMachine.
    VM = "kubevirt.io" "v1" "VirtualMachine" "virtualmachines" true;
    /// KubeVirt VirtualMachineInstance.
    VMI = "kubevirt.io" "v1" "VirtualMachineInstance" "virtualmachineinstances" true;
    /// KubeVirt's live migration of a machine between nodes.
    VMI_MIGRATION = "kubevirt.io" "v1" "VirtualMachineInstanceMigration" "virtualmachineinstancemigrations" true;
    /// Size of machines, of a namespace.
    INSTANCE_TYPE = "instancetype.kubevirt.io" "v1beta1" "VirtualMachineInstancetype" "virtualmachineinstancetypes" true;
    /// Size of machines, of the cluster.
    CLUSTER_INSTANCE_TYPE =
        "instancetype.kubevirt.io" "v1beta1" "VirtualMachineClusterInstancetype" "virtualmachineclusterinstancetypes" false;
    /// Preferences of an operating system, of a namespace.
    PREFERENCE = "instancetype.kubevirt.io" "v1beta1" "VirtualMachinePreference" "virtualmachinepreferences" true;
    /// Preferences of an operating system, of the cluster.
    CLUSTER_PREFERENCE =
        "instancetype.kubevirt.io" "v1beta1" "VirtualMachineClusterPreference" "virtualmachineclusterpreferences" false;
    /// CDI DataVolume.
    DATA_VOLUME = "cdi.kubevirt.io" "v1beta1" "DataVolume" "datavolumes" true;
    /// CDI's name for something that disks are made of, such as an operating system's newest image.
    DATA_SOURCE = "cdi.kubevirt.io" "v1beta1" "DataSource" "datasources" true;
    /// KubeVirt's export of a VM's disks over HTTPS.
    VM_EXPORT = "export.kubevirt.io" "v1beta1" "VirtualMachineExport" "virtualmachineexports" true;
    /// CDI StorageProfile.
    STORAGE_PROFILE = "cdi.kubevirt.io" "v1beta1" "StorageProfile" "storageprofiles" false;
    /// Multus NetworkAttachmentDefinition.
    NAD = "k8s.cni.cncf.io" "v1" "NetworkAttachmentDefinition" "network-attachment-definitions" true;
    /// OpenShift Route.
    ROUTE = "route.openshift.io" "v1" "Route" "routes" true;
    /// OpenShift ClusterVersion.
    CLUSTER_VERSION = "config.openshift.io" "v1" "ClusterVersion" "clusterversions" false;
    /// OpenShift Infrastructure.
    INFRASTRUCTURE = "config.openshift.io" "v1" "Infrastructure" "infrastructures" false;
    /// OpenShift ImageDigestMirrorSet.
    IMAGE_DIGEST_MIRROR_SET = "config.openshift.io" "v1" "ImageDigestMirrorSet" "imagedigestmirrorsets" false;
    /// OpenShift ConsoleCLIDownload.
    CONSOLE_CLI_DOWNLOAD = "console.openshift.io" "v1" "ConsoleCLIDownload" "consoleclidownloads" false;
    /// OLM ClusterServiceVersion.
    CSV = "operators.coreos.com" "v1alpha1" "ClusterServiceVersion" "clusterserviceversions" true;
    /// OLM OperatorGroup.
    OPERATOR_GROUP = "operators.coreos.com" "v1" "OperatorGroup" "operatorgroups" true;
    /// KubeVirt itself.
    KUBEVIRT = "kubevirt.io" "v1" "KubeVirt" "kubevirts" true;
    /// CDI itself.
    CDI = "cdi.kubevirt.io" "v1beta1" "CDI" "cdis" false;
    /// OLM Subscription.
    SUBSCRIPTION = "operators.coreos.com" "v1alpha1" "Subscription" "subscriptions" true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_what_a_manifest_says() {
        for kind in ALL {
            assert_eq!(Kind::find(&kind.api_version(), kind.kind), Some(*kind));
        }
        assert_eq!(Kind::find("v1", "Plan"), None);
    }
}
