package natsserver

import (
	"fmt"
	"log/slog"
)

// serverLog passes the server's log on. Notices become debug lines: a start and a stop say a dozen of them, and none
// concerns the user of Agogo.
type serverLog struct {
	to    *slog.Logger
	fatal chan string // the first fatal line; the server would end the process after it if it had its own logger
}

func newServerLog(to *slog.Logger) *serverLog {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return &serverLog{to: to.With("component", "nats-server"), fatal: make(chan string, 1)}
}

func (l *serverLog) Noticef(format string, v ...any) { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.to.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.to.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(format string, v ...any)  { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Tracef(format string, v ...any)  { l.to.Debug(fmt.Sprintf(format, v...)) }

func (l *serverLog) Fatalf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.to.Error(line)
	select {
	case l.fatal <- line:
	default:
	}
}
