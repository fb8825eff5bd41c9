package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/services/notifier/internal/store/db"
)

// Registration is one row of an import.
type Registration struct {
	UserID   string
	Token    string
	Platform string
	Locale   string
}

// Registered counts what an import changed.
type Registered struct {
	Inserted, Updated, Unchanged int64
}

// Register writes registrations of one tenant in the caller's transaction; no two of them may share a token.
func (s *Store) Register(ctx context.Context, tx pgx.Tx, tenant string, regs []Registration) (Registered, error) {
	now, q := s.Clock.Now(), db.New(tx)
	p := db.UpsertDevicesParams{Tenant: tenant, At: now}
	for _, r := range regs {
		p.DeviceIds = append(p.DeviceIds, DeviceID(tenant, r.Token))
		p.UserIds = append(p.UserIds, r.UserID)
		p.Tokens = append(p.Tokens, r.Token)
		p.Platforms = append(p.Platforms, r.Platform)
		p.Locales = append(p.Locales, r.Locale)
	}
	known, err := q.LockDevices(ctx, db.LockDevicesParams{Tenant: tenant, Tokens: p.Tokens})
	if err != nil {
		return Registered{}, fmt.Errorf("lock %d devices: %w", len(regs), err)
	}
	states := make(map[uuid.UUID]string, len(known))
	for _, k := range known {
		states[k.DeviceID] = k.State
	}
	changed, err := q.UpsertDevices(ctx, p)
	if err != nil {
		return Registered{}, fmt.Errorf("register %d devices: %w", len(regs), err)
	}
	counts := Registered{Unchanged: int64(len(regs) - len(changed))}
	devices := make([]device, len(changed))
	for i, c := range changed {
		from := states[c.DeviceID]
		if from == "" {
			counts.Inserted++
		} else {
			counts.Updated++
		}
		devices[i] = device{id: c.DeviceID, tenant: tenant, userID: c.UserID, platform: c.Platform, from: from, to: "registered", version: c.Version}
	}
	msgs, err := s.deviceEvents(ctx, devices, now)
	if err != nil {
		return Registered{}, err
	}
	return counts, s.Outbox.Append(ctx, tx, msgs...)
}

// DeviceID is the identity of a token within a tenant.
func DeviceID(tenant, token string) uuid.UUID { return event.UUID("device", tenant, token) }

// Device is a listed device. It has no token: those who may look at devices need not be able to push to them.
type Device struct {
	ID                       uuid.UUID
	UserID, Platform, Locale string
	State, RemovedReason     string
	UpdatedAt                time.Time
}

// ListDevices lists devices by user and id after a cursor; userID "" lists all users.
func (s *Store) ListDevices(ctx context.Context, tenant, userID, afterUser string, after uuid.UUID, n int) ([]Device, error) {
	q := db.New(s.Pool)
	var devices []Device
	if userID == "" {
		rows, err := q.ListDevices(ctx, db.ListDevicesParams{Tenant: tenant, AfterUser: afterUser, AfterID: after, PageSize: int32(n)})
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		for _, r := range rows {
			devices = append(devices, deviceOf(r))
		}
		return devices, nil
	}
	rows, err := q.ListUserDevices(ctx, db.ListUserDevicesParams{Tenant: tenant, UserID: userID, AfterID: after, PageSize: int32(n)})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, r := range rows {
		devices = append(devices, deviceOf(db.ListDevicesRow(r)))
	}
	return devices, nil
}

func deviceOf(r db.ListDevicesRow) Device {
	return Device{
		ID: r.DeviceID, UserID: r.UserID, Platform: r.Platform, Locale: r.Locale, State: r.State, RemovedReason: r.RemovedReason,
		UpdatedAt: r.UpdatedAt,
	}
}

// Devices are a recipient's registered devices and the locale in which he reads, "" when none says.
type Devices struct {
	IDs    []uuid.UUID
	Locale string
}

// User is a recipient of one tenant.
type User struct{ Tenant, ID string }

// Devices finds the devices of users; one who has none is absent.
func (s *Store) Devices(ctx context.Context, tx pgx.Tx, users []User) (map[User]Devices, error) {
	if len(users) == 0 {
		return nil, nil
	}
	var p db.RecipientDevicesParams
	for _, u := range users {
		p.Tenants = append(p.Tenants, u.Tenant)
		p.UserIds = append(p.UserIds, u.ID)
	}
	rows, err := db.New(tx).RecipientDevices(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("devices of %d recipients: %w", len(users), err)
	}
	found := make(map[User]Devices, len(users))
	for _, r := range rows {
		u := User{r.Tenant, r.UserID}
		d := found[u]
		if !slices.Contains(d.IDs, r.DeviceID) {
			d.IDs = append(d.IDs, r.DeviceID)
		}
		if d.Locale == "" {
			d.Locale = r.Locale
		}
		found[u] = d
	}
	return found, nil
}
