package restore

import (
	"context"
	"maps"

	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
)

// WithPolicy adds to a service's policy the roles of what [Register] serves.
func WithPolicy(own auth.Policy) auth.Policy {
	all := auth.Policy{}
	maps.Copy(all, own)
	all[restorev1.RestoreService_GetRestore_FullMethodName] = auth.Viewer
	all[restorev1.RestoreService_MarkRestore_FullMethodName] = auth.Admin
	return all
}

// Register serves agogo.restore.v1.
func Register(s grpc.ServiceRegistrar, m *Marker) {
	restorev1.RegisterRestoreServiceServer(s, &server{marker: m})
}

type server struct {
	restorev1.UnsafeRestoreServiceServer // a method that is missing does not compile
	marker                               *Marker
}

func (s *server) GetRestore(ctx context.Context, _ *restorev1.GetRestoreRequest) (*restorev1.Restore, error) {
	if _, err := auth.Require(ctx, auth.Viewer, ""); err != nil {
		return nil, err
	}
	return s.marker.Get(ctx)
}

func (s *server) MarkRestore(ctx context.Context, r *restorev1.MarkRestoreRequest) (*restorev1.Restore, error) {
	if _, err := auth.Require(ctx, auth.Admin, ""); err != nil {
		return nil, err
	}
	return s.marker.Mark(ctx, r.GetReason(), r.GetRequestId())
}
