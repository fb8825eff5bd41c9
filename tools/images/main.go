// Command images makes the container images of Agogo, byte for byte the same from the same source, without a container engine
// and without a base image: a static binary for each platform, the certificate authorities that browsers trust, and a user who
// is not root. Beside each image it writes what is in it (SPDX) and how it was made (SLSA provenance).
//
//	images -out dist/images -repo agogopay -version v1.2.3 -epoch 1700000000 -commit abc agogo=./cmd/agogo agogo-payouts=./services/payouts/cmd/payouts
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// options are the flags.
type options struct {
	root, out, repo, version, commit string
	dirty                            bool // what is built is the commit and something else
	platforms                        []v1.Platform
	at                               time.Time // of everything in the images
	push                             bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	var platforms string
	var epoch int64
	f := flag.NewFlagSet("images", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the module to build")
	f.StringVar(&o.out, "out", "dist/images", "where to write")
	f.StringVar(&o.repo, "repo", "agogopay", "registry and folder before the image's name")
	f.StringVar(&o.version, "version", "dev", "tag")
	f.StringVar(&o.commit, "commit", "", "commit of the source, for the provenance")
	f.BoolVar(&o.dirty, "dirty", false, "the source is not quite that of the commit: say so, and push nothing")
	f.Int64Var(&epoch, "epoch", 0, "seconds since 1970 that everything is dated (SOURCE_DATE_EPOCH)")
	f.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "with commas between")
	f.BoolVar(&o.push, "push", false, "also push to the repository, with the credentials of docker login")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.dirty && o.push {
		return errors.New("the source has changes that are in no commit, so nobody could say what was pushed: commit them, or leave -push off")
	}
	o.at = time.Unix(epoch, 0).UTC()
	for _, p := range strings.Split(platforms, ",") {
		parsed, err := v1.ParsePlatform(p)
		if err != nil {
			return err
		}
		o.platforms = append(o.platforms, *parsed)
	}
	for _, arg := range f.Args() {
		image, pkg, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=PACKAGE", arg)
		}
		if err := one(ctx, o, image, pkg); err != nil {
			return fmt.Errorf("%s: %w", image, err)
		}
	}
	return nil
}

// one makes one image for all platforms.
func one(ctx context.Context, o options, image, pkg string) error {
	dir := filepath.Join(o.out, image)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var binaries []binary
	for _, p := range o.platforms {
		b, err := build(ctx, o, pkg, filepath.Join(dir, "bin", p.Architecture), p)
		if err != nil {
			return err
		}
		binaries = append(binaries, b)
	}
	index, err := indexOf(o, image, binaries)
	if err != nil {
		return err
	}
	digest, err := write(o, dir, image, index)
	if err != nil {
		return err
	}
	if err := describe(o, dir, image, pkg, digest, binaries); err != nil {
		return err
	}
	fmt.Printf("%s/%s:%s@%s\n", o.repo, image, o.version, digest)
	if !o.push {
		return nil
	}
	ref, err := name.ParseReference(o.repo + "/" + image + ":" + o.version)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index, remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithContext(ctx))
}
