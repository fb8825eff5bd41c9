package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// describe writes what is in the image and how it was made: IMAGE.spdx.json and IMAGE.provenance.json.
func describe(o options, dir, image, pkg string, digest v1.Hash, binaries []binary) error {
	infos := make([]*debug.BuildInfo, len(binaries))
	for i, b := range binaries {
		var err error
		if infos[i], err = buildinfo.ReadFile(b.path); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(dir, image+".spdx.json"), bill(o, image, digest, infos)); err != nil {
		return err
	}
	p, err := provenance(o, image, pkg, digest, binaries, infos[0])
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, image+".provenance.json"), p)
}

type object = map[string]any

// bill is the SPDX document: the image and each module that is compiled into its programs, on any platform.
func bill(o options, image string, digest v1.Hash, infos []*debug.BuildInfo) object {
	versions := map[string]*debug.Module{}
	for _, info := range infos {
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			versions[m.Path+"@"+m.Version] = m
		}
	}
	packages := []object{{
		"SPDXID": "SPDXRef-image", "name": image, "versionInfo": o.version, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
		"checksums": []object{{"algorithm": "SHA256", "checksumValue": digest.Hex}}, "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0",
	}}
	relations := []object{{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"}}
	add := func(name, version string) {
		id := fmt.Sprintf("SPDXRef-%d", len(packages))
		packages = append(packages, object{
			"SPDXID": id, "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
			"externalRefs": []object{{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:golang/" + name + "@" + version}},
		})
		relations = append(relations, object{"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": id})
	}
	add("stdlib", strings.TrimPrefix(infos[0].GoVersion, "go"))
	for _, key := range sorted(versions) {
		add(versions[key].Path, versions[key].Version)
	}
	return object{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": image + " " + o.version,
		"documentNamespace": "https://github.com/agogopay/agogo/sbom/" + image + "/" + digest.Hex,
		"creationInfo":      object{"created": o.at.Format(time.RFC3339), "creators": []string{"Tool: agogo-images"}},
		"packages":          packages, "relationships": relations,
	}
}

// provenance is the SLSA statement about the index and its programs. It is not signed: whoever releases signs it.
func provenance(o options, image, pkg string, digest v1.Hash, binaries []binary, info *debug.BuildInfo) (object, error) {
	subjects := []object{{"name": o.repo + "/" + image, "digest": object{digest.Algorithm: digest.Hex}}}
	for _, b := range binaries {
		raw, err := os.ReadFile(b.path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		subjects = append(subjects, object{"name": b.platform.String() + "/" + filepath.Base(b.path), "digest": object{"sha256": hex.EncodeToString(sum[:])}})
	}
	settings := object{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	return object{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1", "subject": subjects,
		"predicate": object{
			"buildDefinition": object{
				"buildType":            "https://github.com/agogopay/agogo/tools/images@v1",
				"externalParameters":   object{"package": pkg, "version": o.version},
				"internalParameters":   object{"go": info.GoVersion, "settings": settings},
				"resolvedDependencies": []object{o.source()},
			},
			"runDetails": object{"builder": object{"id": "https://github.com/agogopay/agogo/tools/images"}},
		},
	}, nil
}

// source is what was built. A digest would vouch for every byte, which the commit does not when something was changed after it.
func (o options) source() object {
	s := object{"uri": "git+https://github.com/agogopay/agogo", "digest": object{"gitCommit": o.commit}}
	if o.dirty {
		delete(s, "digest")
		s["annotations"] = object{"changedAfterCommit": o.commit}
	}
	return s
}

// revision names the source in the image's labels.
func (o options) revision() string {
	if o.dirty {
		return o.commit + "-dirty"
	}
	return o.commit
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
