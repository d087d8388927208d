// Package v1beta1 has the structure that Forklift fills claim-name templates from. Its name and the names, types and order of
// its fields are what templates and Go's errors see.
package v1beta1

// PVCNameTemplateData is what a claim's name may depend on.
type PVCNameTemplateData struct {
	VmName             string
	TargetVmName       string
	PlanName           string
	DiskIndex          int
	VmId               string
	WinDriveLetter     string
	RootDiskIndex      int
	Shared             bool
	FileName           string
	SourcePVCName      string
	SourcePVCNamespace string
	VolumeID           string
	SnapshotID         string
	DiskId             string
}
