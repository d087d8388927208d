// Command types prints the types of Kubernetes' built-in kinds as the lab's API server reads them:
//
//	go run ./types >../../../lab/src/kubernetes/types.txt
//
// One line per Go struct: its name, then a word per field, `number:name:type:flags`. The number is protobuf's. A type is `*`
// for a pointer, `[]` for a list or `{}` for a map from strings, then a scalar or the name of a struct; a scalar of a type of
// its own carries that type's name behind a `~`. Flags, separated by commas: `o` omitempty, `z` omitzero, `i` inline, `a`
// owned as a whole, `s` a set, `k=KEY+KEY` a list by keys, `p=KEY` a strategic patch merges by this key, `P` by the values
// themselves, `R` with `$retainKeys`, `d=VALUE` a default that keys of lists take. A struct that is owned as a whole has
// `!` behind its name.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// roots are the kinds that the lab serves, and what is sent to their subresources.
var roots = []any{
	corev1.Binding{}, corev1.ConfigMap{}, corev1.Endpoints{}, corev1.Event{}, corev1.LimitRange{}, corev1.Namespace{}, corev1.Node{},
	corev1.PersistentVolume{}, corev1.PersistentVolumeClaim{}, corev1.Pod{}, corev1.PodTemplate{}, corev1.ReplicationController{},
	corev1.ResourceQuota{}, corev1.Secret{}, corev1.Service{}, corev1.ServiceAccount{},
	appsv1.ControllerRevision{}, appsv1.DaemonSet{}, appsv1.Deployment{}, appsv1.ReplicaSet{}, appsv1.StatefulSet{},
	authenticationv1.SelfSubjectReview{}, authenticationv1.TokenRequest{}, authenticationv1.TokenReview{},
	authorizationv1.LocalSubjectAccessReview{}, authorizationv1.SelfSubjectAccessReview{}, authorizationv1.SelfSubjectRulesReview{},
	authorizationv1.SubjectAccessReview{},
	autoscalingv1.Scale{}, autoscalingv2.HorizontalPodAutoscaler{},
	batchv1.CronJob{}, batchv1.Job{},
	coordinationv1.Lease{}, discoveryv1.EndpointSlice{}, eventsv1.Event{},
	networkingv1.Ingress{}, networkingv1.IngressClass{}, networkingv1.NetworkPolicy{},
	policyv1.Eviction{}, policyv1.PodDisruptionBudget{},
	rbacv1.ClusterRole{}, rbacv1.ClusterRoleBinding{}, rbacv1.Role{}, rbacv1.RoleBinding{},
	schedulingv1.PriorityClass{},
	storagev1.CSIDriver{}, storagev1.CSINode{}, storagev1.CSIStorageCapacity{}, storagev1.StorageClass{}, storagev1.VolumeAttachment{},
	storagev1.VolumeAttributesClass{},
	apiextensionsv1.CustomResourceDefinition{}, apiregistrationv1.APIService{}, metav1.DeleteOptions{},
}

// leaves write themselves: what they are called in the table.
var leaves = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "meta.Time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "meta.MicroTime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "meta.Duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "meta.FieldsV1",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "resource.Quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "intstr.IntOrString",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "runtime.RawExtension",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "apiextensions.JSON",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "apiextensions.JSONSchemaPropsOrArray",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "apiextensions.JSONSchemaPropsOrBool",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "apiextensions.JSONSchemaPropsOrStringArray",
}

// comments holds what stands above fields and types: package.Type.Field and package.Type.
var comments = map[string]string{}
var parsed = map[string]bool{}

func directory(pkg string) string {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(out))
}

func read(pkg string) {
	if parsed[pkg] {
		return
	}
	parsed[pkg] = true
	files, err := filepath.Glob(filepath.Join(directory(pkg), "*.go"))
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			panic(err)
		}
		for _, decl := range tree.Decls {
			types, ok := decl.(*ast.GenDecl)
			if !ok || types.Tok != token.TYPE {
				continue
			}
			for _, spec := range types.Specs {
				spec := spec.(*ast.TypeSpec)
				name := pkg + "." + spec.Name.Name
				comments[name] = types.Doc.Text() + spec.Doc.Text()
				body, ok := spec.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range body.Fields.List {
					names := []string{}
					for _, ident := range field.Names {
						names = append(names, ident.Name)
					}
					if len(names) == 0 {
						embedded := field.Type
						if star, ok := embedded.(*ast.StarExpr); ok {
							embedded = star.X
						}
						switch kind := embedded.(type) {
						case *ast.Ident:
							names = append(names, kind.Name)
						case *ast.SelectorExpr:
							names = append(names, kind.Sel.Name)
						}
					}
					for _, field_name := range names {
						comments[name+"."+field_name] = field.Doc.Text()
					}
				}
			}
		}
	}
}

func marker(comment, name string) string {
	found := regexp.MustCompile(`(?m)^\+` + name + `=(.*)$`).FindStringSubmatch(comment)
	if found == nil {
		return ""
	}
	return strings.TrimSpace(found[1])
}

func markers(comment, name string) []string {
	all := []string{}
	for _, found := range regexp.MustCompile(`(?m)^\+`+name+`=(.*)$`).FindAllStringSubmatch(comment, -1) {
		all = append(all, strings.TrimSpace(found[1]))
	}
	return all
}

func full(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// short is the name of a struct in the table: the group's first word, or the package's, and the type.
func short(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	return parts[len(parts)-2] + "." + t.Name()
}

var queue []reflect.Type
var known = map[string]bool{}

func want(t reflect.Type) string {
	if leaf, ok := leaves[full(t)]; ok {
		return leaf
	}
	name := short(t)
	if t.PkgPath() == "k8s.io/api/autoscaling/v2" || t.PkgPath() == "k8s.io/api/autoscaling/v1" {
		name = "autoscaling" + "." + t.Name()
	}
	if !known[name] {
		known[name] = true
		queue = append(queue, t)
	}
	return name
}

// named adds the name of a scalar's own type.
func named(scalar string, t reflect.Type) string {
	if t.PkgPath() == "" {
		return scalar
	}
	parts := strings.Split(t.PkgPath(), "/")
	return scalar + "~" + parts[len(parts)-1] + "." + t.Name()
}

func kind(t reflect.Type) string {
	if leaf, ok := leaves[full(t)]; ok && t.Name() != "" {
		return leaf
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + kind(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + kind(t.Elem())
	case reflect.Map:
		return "{}" + kind(t.Elem())
	case reflect.String:
		return named("string", t)
	case reflect.Bool:
		return named("bool", t)
	case reflect.Int32:
		return named("int32", t)
	case reflect.Int64:
		return named("int64", t)
	case reflect.Float64:
		return named("double", t)
	case reflect.Struct:
		return want(t)
	}
	panic("no word for " + t.String())
}

func line(t reflect.Type) string {
	read(t.PkgPath())
	head := want(t)
	if marker(comments[full(t)], "structType") == "atomic" {
		head += "!"
	}
	words := []string{head}
	for i := range t.NumField() {
		field := t.Field(i)
		tag := strings.Split(field.Tag.Get("json"), ",")
		if field.Type == reflect.TypeOf(metav1.TypeMeta{}) || tag[0] == "-" || !field.IsExported() {
			continue
		}
		number := "0"
		if proto := strings.Split(field.Tag.Get("protobuf"), ","); len(proto) > 1 {
			number = proto[1]
		}
		comment := comments[full(t)+"."+field.Name]
		flags := []string{}
		name := tag[0]
		for _, option := range tag[1:] {
			switch option {
			case "omitempty":
				flags = append(flags, "o")
			case "omitzero":
				flags = append(flags, "z")
			case "inline":
				name = ""
				flags = append(flags, "i")
			}
		}
		if field.Anonymous && tag[0] == "" && len(flags) == 0 {
			name = ""
			flags = append(flags, "i")
		}
		strategy, merge := field.Tag.Get("patchStrategy"), field.Tag.Get("patchMergeKey")
		list, keys := marker(comment, "listType"), markers(comment, "listMapKey")
		isList := field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() != reflect.Uint8
		if isList && list == "" && strings.Contains(strategy, "merge") {
			list = "set"
			if merge != "" {
				list, keys = "map", []string{merge}
			}
		}
		switch {
		case list == "set":
			flags = append(flags, "s")
		case list == "map":
			flags = append(flags, "k="+strings.Join(keys, "+"))
		case marker(comment, "mapType") == "atomic" || marker(comment, "structType") == "atomic":
			flags = append(flags, "a")
		}
		for _, word := range strings.Split(strategy, ",") {
			switch {
			case word == "merge" && merge != "":
				flags = append(flags, "p="+merge)
			case word == "merge":
				flags = append(flags, "P")
			case word == "retainKeys":
				flags = append(flags, "R")
			}
		}
		if value := marker(comment, "default"); value != "" && field.Type.Kind() == reflect.String {
			var text string
			if json.Unmarshal([]byte(value), &text) == nil && text != "" {
				flags = append(flags, "d="+text)
			}
		}
		words = append(words, fmt.Sprintf("%s:%s:%s:%s", number, name, kind(field.Type), strings.Join(flags, ",")))
	}
	return strings.Join(words, " ")
}

func main() {
	for _, root := range roots {
		want(reflect.TypeOf(root))
	}
	lines := []string{}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		lines = append(lines, line(next))
	}
	// What the leaves hold.
	for _, extra := range []any{apiextensionsv1.JSONSchemaProps{}} {
		if name := reflect.TypeOf(extra); !known[short(name)] {
			lines = append(lines, line(name))
		}
	}
	sort.Strings(lines)
	fmt.Fprintln(os.Stdout, "# Types of Kubernetes' built-in kinds, made by tests/servers/kubernetes/types, which says what the words mean.")
	for _, line := range lines {
		fmt.Fprintln(os.Stdout, line)
	}
}
