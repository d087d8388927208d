//! Everything that reads text which others have written, by name. Property tests (`tests/hostile_server/parsers.rs`) and fuzzers (`fuzz/`)
//! feed each entry of [`ALL`]; a new parser joins them with one line.

use std::{collections::BTreeSet, path::Path};

use crate::{
    config::{diagnostics::Problems, duration, profile_file::ProfileFile, scenario_file, settings_load},
    journal,
    net::certificate,
    providers::vsphere,
    select::{Version, marker::Expression},
};

/// Something that reads text.
pub struct Parser {
    /// Name, for messages and folders.
    pub name: &'static str,
    /// Reads it. It may refuse, in words; it must not panic, hang or take more than its share of time.
    pub feed: fn(&[u8]),
    /// Texts that it accepts, to begin with.
    pub seeds: &'static [&'static str],
    /// Pieces that are repeated to see how time grows with length.
    pub pieces: &'static [&'static str],
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them.
pub const ALL: &[Parser] = &[
    Parser {
        name: "scenarios",
        feed: |data| text(data, scenarios),
        seeds: &[
            include_str!("../scenarios/sanity.toml"),
            "[scenario.x]\nrequires = { providers = [\"vsphere\"] }\nvirtual_machines = [{ name = \"a\" }]\n",
        ],
        pieces: &[
            "[scenario.x]\n",
            "a = 1\n",
            "[",
            "[[scenario.x.virtual_machines]]\nname = \"a\"\n",
            "x = {",
            "\"",
            "\u{feff}",
            "x.",
            "'''\n",
        ],
    },
    Parser {
        name: "certificates",
        feed: certificate::feed,
        // DER that is text as well: nested elements, a name with a CN, times.
        seeds: &["0\u{12}1\u{10}0\u{e}\u{6}\u{3}U\u{4}\u{3}\u{c}\u{7}example", "0\u{2}\u{5}\0"],
        pieces: &["0", "\u{30}\u{7f}", "1", "\u{6}\u{3}U\u{4}\u{3}", "\0", "\u{17}\u{d}200102000000Z"],
    },
    Parser {
        name: "settings",
        feed: |data| text(data, settings),
        seeds: &["jobs = 4\nstorage_class = \"nfs\"\nplan_wait_timeout = \"1h\"\n[[protect]]\napi_host = [\"api.*\"]\nreason = \"x\"\n"],
        pieces: &["jobs = 0\n", "x = 1\n", "[[protect]]\n", "[[protect]]\napi_host = \"a\"\n", "protect = [", "\"a\", ", "x = \"", "é"],
    },
    Parser {
        name: "profiles",
        feed: |data| text(data, profiles),
        seeds: &[
            "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword = \"pass\"\nca_pem = '''\nx\n'''\n",
            "[provider.y]\ntype = \"ova\"\napi_url = \"h:/p\"\n",
        ],
        pieces: &["[provider.x]\n", "password = \"a\"\n", "type = 1\n", "api_url = \"https://u:p@\"\n", "x = '''", "#", "\r"],
    },
    Parser {
        name: "markers",
        feed: |data| text(data, |text| drop(Expression::parse(text, &BTreeSet::from(["tier0", "warm", "a"])))),
        seeds: &["tier0 and not (warm or a)", "tier0"],
        pieces: &["a and ", "a or ", "not ", "(", "(a) and ", "b ", "é or "],
    },
    Parser {
        name: "versions",
        feed: |data| {
            text(data, |text| {
                if let Some(version) = Version::parse(text) {
                    let _order = version.cmp(&version.clone());
                }
            });
        },
        seeds: &["2.10.0", "v4.22.0-ec.2", "2.9.0rc1", "2.8.5-12"],
        pieces: &["1.", "9", "-rc", "a", "0.0."],
    },
    Parser {
        name: "durations",
        feed: |data| text(data, |text| drop(duration::parse(text).map(duration::format))),
        seeds: &["1h30m", "90s", "5m", "10ms"],
        pieces: &["1h", "9", "m", "1ms"],
    },
    Parser {
        name: "retry-after",
        feed: |data| {
            text(data, |text| {
                let _pause = crate::retry::retry_after(text, jiff::Timestamp::UNIX_EPOCH);
            });
        },
        seeds: &["120", "Wed, 21 Oct 2026 07:28:00 GMT", "0"],
        pieces: &["9", "-", "Wed, ", " GMT", ":", "1 ", "é"],
    },
    Parser {
        name: "resources",
        feed: |data| {
            if let Ok(found) = journal::read::parse(data) {
                let _stages = journal::order::order(&found.records);
            }
        },
        seeds: &[
            "{\"Plan\": [{\"name\": \"p\", \"namespace\": \"n\", \"module\": \"m\"}], \"vsphere\": [{\"name\": \"v\"}]}",
            "{\"format\":\"mtv-test.resources\",\"version\":1,\"records\":[\n",
        ],
        pieces: &["{\"a\":", "[", "{\"sum\":\"", "{\"sum\":\"0123456789abcdef\",\"seq\":0}\n,", "\"", "}", "],"],
    },
    Parser {
        name: "soap",
        feed: |data| {
            text(data, |text| {
                let _answer = vsphere::is_answer(text);
            });
        },
        seeds: &[
            "<e:Envelope xmlns:e=\"e\" xmlns:xsi=\"x\"><e:Body><r xsi:type=\"T\"><returnval type=\"VirtualMachine\">vm-1</returnval></r></e:Body></e:Envelope>",
            "<Envelope><Body><Fault><faultstring>m</faultstring><detail><F/></detail></Fault></Body></Envelope>",
        ],
        pieces: &["<a>", "<a/>", "&amp;", "<a b=\"c\">", "<!--x-->", "</a>", "<a xmlns:x=\"y\">", "x"],
    },
    Parser {
        name: "inventory",
        feed: |data| {
            let _vm = serde_json::from_slice::<mtv_api::inventory::VsphereVm>(data);
            let _items = serde_json::from_slice::<Vec<mtv_api::inventory::InventoryObject>>(data);
        },
        seeds: &["{\"id\": \"vm-1\", \"name\": \"x\", \"disks\": [{\"datastore\": {\"id\": \"d\"}}], \"networks\": [{\"id\": \"n\"}]}"],
        pieces: &["[", "{\"a\":", "{},", "\"\\u0000\"", "1e9,"],
    },
    Parser {
        name: "name-templates",
        feed: |data| {
            text(data, |text| {
                let disk = mtv_api::template::DiskData { vm: "VM_a".to_owned(), plan: "plan".to_owned(), ..Default::default() };
                let _name = mtv_api::template::label(text, mtv_api::template::pvc_data(&disk));
            });
        },
        seeds: &[
            "{{trunc 15 .PlanName}}-{{trunc 15 .TargetVmName}}-disk-{{.DiskIndex}}",
            "{{ if eq .DiskIndex .RootDiskIndex }}root{{ else }}data-{{ printf \"%02d\" .DiskIndex }}{{ end }}",
            "{{ range $i, $e := .VmName | lower | replace \"_\" \"-\" }}x{{ end }}{{ with .VmId }}{{ . }}{{ end }}",
        ],
        pieces: &[
            "{{",
            "}}",
            "{{ .VmName }}",
            "{{ if .Shared }}",
            "{{ end }}",
            "(",
            "{{ 9",
            "| upper ",
            "\"",
            "`",
            "{{/* x */}}",
            "{{ define \"a\" }}",
            "{{ regexReplaceAll \"(a*)*\" .VmName \"$1\" }}",
            "{{ printf \"%999999d\" 1 }}",
            "{{ template \"a\" . }}",
            "é",
        ],
    },
    Parser {
        name: "logins",
        feed: |data| text(data, crate::cluster::feed_login),
        seeds: &["https://o.example.com/oauth/token/implicit?code=sha256~abc&state=s", "/x?error=access_denied&error_description=no"],
        pieces: &["code=a&", "%41", "/", "?", "&", "é", "https://", "@"],
    },
    Parser {
        name: "secrets",
        feed: |data| {
            text(data, |text| {
                // Known once, so that the set stays as it is while this is fed.
                static KNOWN: std::sync::Once = std::sync::Once::new();
                KNOWN.call_once(|| drop(crate::secrets::Secret::new("aba\"<'%")));
                let _masked = crate::secrets::mask(text);
            });
        },
        seeds: &["password aba\"<'% and YWJhIjwnJQ==", "nothing"],
        pieces: &["ab", "aba\"<'%", "a", "YWJh", "%61", "é"],
    },
    Parser {
        name: "requests",
        feed: |data| {
            let _yaml = crate::trace::shown("application/json", data);
            let _text = crate::trace::shown("text/plain", data);
        },
        seeds: &["{\"kind\": \"Secret\", \"data\": {\"a\": \"b\"}}", "{\"kind\": \"PodList\", \"items\": [{}]}"],
        pieces: &["[", "{\"data\":", "\"\\n\",", "{\"kind\":\"Secret\"},", "x\n"],
    },
];

/// What is text is read; bytes that are none never reach a parser of text.
fn text(data: &[u8], read: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(data) {
        read(text);
    }
}

/// Every problem must be one that can be shown.
fn show(problems: &Problems) {
    assert_eq!(problems.render(false).is_empty(), problems.is_empty());
}

fn scenarios(text: &str) {
    let mut problems = Problems::default();
    scenario_file::parse(Path::new("x.toml"), text, &mut problems);
    show(&problems);
}

fn settings(text: &str) {
    show(&settings_load::check(Path::new("x.toml"), text));
}

fn profiles(text: &str) {
    match ProfileFile::parse(Path::new("x.toml"), text, true) {
        Ok(file) => {
            show(&file.check(&|_| None));
            if let Some(name) = file.names().next()
                && let Err(problems) = file.select(name, &|_| None)
            {
                show(&problems);
            }
        }
        Err(problems) => show(&problems),
    }
}
