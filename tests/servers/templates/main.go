// Fills the templates of a table in, with Go's own text/template and the functions of Sprig that Forklift offers, and writes the
// table with what came out:
//
//	go run . <cases.txt >../../../api/tests/templates.json
//
// Each line of the input is a template; ⏎ stands for a newline; lines that start with # are comments.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"templates/v1beta1"
)

// Those that Forklift documents: eighteen for text, eleven for numbers.
var offered = strings.Fields(`lower upper contains replace trim trimAll trimSuffix trimPrefix title untitle repeat substr nospace
	trunc initials hasPrefix hasSuffix mustRegexReplaceAll add add1 sub div mod mul max min floor ceil round`)

type result struct {
	Template string `json:"template"`
	Output   string `json:"output,omitempty"`
	Error    string `json:"error,omitempty"`
	// Whether the output, blanks cut off, is a DNS-1123 label.
	Label bool `json:"label,omitempty"`
}

var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func fill(text string, data v1beta1.PVCNameTemplateData) result {
	functions := template.FuncMap{}
	all := sprig.FuncMap()
	for _, name := range offered {
		functions[name] = all[name]
	}
	made, err := template.New("template").Funcs(functions).Parse(text)
	if err != nil {
		return result{Template: text, Error: err.Error()}
	}
	var out strings.Builder
	if err := made.Execute(&out, data); err != nil {
		return result{Template: text, Error: err.Error()}
	}
	trimmed := strings.TrimSpace(out.String())
	return result{Template: text, Output: out.String(), Label: len(trimmed) <= 63 && label.MatchString(trimmed)}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("templates: text/template with", len(offered), "functions")
		return
	}
	data := v1beta1.PVCNameTemplateData{
		VmName: "Web_Server 01", TargetVmName: "web-server-01", PlanName: "a-rather-long-plan-name", DiskIndex: 1, VmId: "vm-1042",
		WinDriveLetter: "c", RootDiskIndex: 0, Shared: true, FileName: "Web_Server 01_1.vmdk",
	}
	var results []result
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text := strings.ReplaceAll(line, "⏎", "\n")
		results = append(results, fill(text, data))
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(results); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
