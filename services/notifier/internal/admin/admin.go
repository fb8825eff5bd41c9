// Package admin serves agogo.notifier.v1: importing push tokens and looking at devices and notifications.
package admin

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/rpc"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// Policy says which role each method needs.
func Policy() auth.Policy {
	return auth.Policy{
		notifierv1.NotifierService_ImportDevices_FullMethodName:     auth.Operator,
		notifierv1.NotifierService_ListDevices_FullMethodName:       auth.Viewer,
		notifierv1.NotifierService_ListNotifications_FullMethodName: auth.Viewer,
	}
}

// Server implements the service.
type Server struct {
	notifierv1.UnsafeNotifierServiceServer // a method that is missing does not compile

	store   *store.Store
	tenants *config.File
}

// New makes a server.
func New(s *store.Store, tenants *config.File) *Server {
	return &Server{store: s, tenants: tenants}
}

// ListDevices lists devices by user, without their tokens.
func (s *Server) ListDevices(ctx context.Context, r *notifierv1.ListDevicesRequest) (*notifierv1.ListDevicesResponse, error) {
	var afterUser string
	after := uuid.Nil
	key, err := rpc.ParsePageToken(r.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	if key != nil {
		if afterUser = key[0]; parse(&after, key[1]) != nil {
			return nil, rpc.Invalid("page_token", "not a token of this list")
		}
	}
	size := rpc.PageSize(r.GetPageSize())
	devices, err := s.store.ListDevices(ctx, r.GetTenant(), r.GetUserId(), afterUser, after, size)
	if err != nil {
		return nil, err
	}
	resp := &notifierv1.ListDevicesResponse{}
	for _, d := range devices {
		resp.Items = append(resp.Items, &notifierv1.Device{
			Id: d.ID.String(), Tenant: r.GetTenant(), UserId: d.UserID, Platform: d.Platform, Locale: d.Locale,
			State: d.State, RemovedReason: d.RemovedReason, UpdatedAt: timestamppb.New(d.UpdatedAt),
		})
	}
	if len(devices) == size {
		last := devices[size-1]
		resp.NextPageToken = rpc.PageToken(last.UserID, last.ID.String())
	}
	return resp, nil
}

// ListNotifications lists notifications, newest first.
func (s *Server) ListNotifications(
	ctx context.Context, r *notifierv1.ListNotificationsRequest,
) (*notifierv1.ListNotificationsResponse, error) {
	before := store.First()
	key, err := rpc.ParsePageToken(r.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	if key != nil {
		at, err := time.Parse(time.RFC3339Nano, key[0])
		if err != nil || parse(&before.ID, key[1]) != nil {
			return nil, rpc.Invalid("page_token", "not a token of this list")
		}
		before.At = at
	}
	size := rpc.PageSize(r.GetPageSize())
	list, err := s.store.ListNotifications(ctx, r.GetTenant(), r.GetRecipientId(), r.GetSubjectId(), before, size)
	if err != nil {
		return nil, err
	}
	resp := &notifierv1.ListNotificationsResponse{}
	for _, n := range list {
		resp.Items = append(resp.Items, &notifierv1.Notification{
			Id: n.ID.String(), Tenant: r.GetTenant(), RecipientId: n.RecipientID, RecipientKind: n.RecipientKind, Kind: n.Kind,
			SubjectId: n.SubjectID, Locale: n.Locale, Title: n.Title, Body: n.Body, State: n.State, Reason: n.Reason,
			Pushes: n.Pushes, CreatedAt: timestamppb.New(n.CreatedAt),
		})
	}
	if len(list) == size {
		last := list[size-1]
		resp.NextPageToken = rpc.PageToken(last.CreatedAt.UTC().Format(time.RFC3339Nano), last.ID.String())
	}
	return resp, nil
}

func parse(into *uuid.UUID, s string) error {
	id, err := uuid.Parse(s)
	*into = id
	return err
}
