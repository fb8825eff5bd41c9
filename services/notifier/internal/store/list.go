package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/services/notifier/internal/store/db"
)

// Notification is a listed notification.
type Notification struct {
	ID                         uuid.UUID
	RecipientKind, RecipientID string
	Kind, SubjectID            string
	Locale, Title, Body        string
	State, Reason              string
	Pushes                     int32
	CreatedAt                  time.Time
}

// Before is a keyset cursor: what comes after this row, newest first. [First] begins a list.
type Before struct {
	At time.Time
	ID uuid.UUID
}

// First is the cursor of the first page.
func First() Before { return Before{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ID: uuid.Max} }

// ListNotifications lists notifications, newest first, of a recipient and of a subject where those are not "".
func (s *Store) ListNotifications(ctx context.Context, tenant, recipientID, subjectID string, before Before, n int) ([]Notification, error) {
	q := db.New(s.Pool)
	var rows []db.ListNotificationsRow
	var err error
	switch {
	case subjectID != "":
		var found []db.ListSubjectNotificationsRow
		found, err = q.ListSubjectNotifications(ctx, db.ListSubjectNotificationsParams{
			Tenant: tenant, SubjectID: subjectID, RecipientID: recipientID, BeforeAt: before.At, BeforeID: before.ID, PageSize: int32(n),
		})
		for _, r := range found {
			rows = append(rows, db.ListNotificationsRow(r))
		}
	case recipientID != "":
		var found []db.ListRecipientNotificationsRow
		found, err = q.ListRecipientNotifications(ctx, db.ListRecipientNotificationsParams{
			Tenant: tenant, RecipientID: recipientID, BeforeAt: before.At, BeforeID: before.ID, PageSize: int32(n),
		})
		for _, r := range found {
			rows = append(rows, db.ListNotificationsRow(r))
		}
	default:
		rows, err = q.ListNotifications(ctx, db.ListNotificationsParams{
			Tenant: tenant, BeforeAt: before.At, BeforeID: before.ID, PageSize: int32(n),
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	list := make([]Notification, len(rows))
	for i, r := range rows {
		list[i] = Notification(r)
	}
	return list, nil
}
