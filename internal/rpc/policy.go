package rpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/agogopay/agogo/internal/auth"
)

// CheckPolicy tells which methods of the named services ("agogo.payouts.v1.PayoutsService") have no role in a policy, and
// which entries of the policy are of no method. Start does the same for what is registered; this is for tests of a policy
// without a server. The generated code of the services must be linked in.
func CheckPolicy(p auth.Policy, services ...string) error {
	methods := map[string]bool{}
	for _, name := range services {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
		service, ok := d.(protoreflect.ServiceDescriptor)
		if !ok {
			return fmt.Errorf("%s is no service", name)
		}
		for i := range service.Methods().Len() {
			methods["/"+name+"/"+string(service.Methods().Get(i).Name())] = true
		}
	}
	return compare(p, methods)
}

func checkPolicy(p auth.Policy, registered map[string]grpc.ServiceInfo) error {
	methods := map[string]bool{}
	for service, info := range registered {
		for _, m := range info.Methods {
			if full := "/" + service + "/" + m.Name; strings.HasPrefix(full, agogoService) {
				methods[full] = true
			}
		}
	}
	return compare(p, methods)
}

func compare(p auth.Policy, methods map[string]bool) error {
	var faults []string
	for _, m := range slices.Sorted(maps.Keys(methods)) {
		if role, ok := p[m]; !ok {
			faults = append(faults, m+" has no role")
		} else if role < auth.Viewer || role > auth.Admin {
			faults = append(faults, m+" has the role "+role.String()+", which nobody holds")
		}
	}
	for _, m := range slices.Sorted(maps.Keys(p)) {
		if !methods[m] {
			faults = append(faults, m+" is no method")
		}
	}
	if faults == nil {
		return nil
	}
	return fmt.Errorf("the policy is not that of the services: %s", strings.Join(faults, "; "))
}
