package installation

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is the time that processes have spent on a core so far, and their memory. Unlike a rate it says the same on a
// machine that has other work to do.
type Usage struct {
	Services, Postgres time.Duration
	Resident, Peak     int64 // of the process of all services, in bytes; Peak since it began
}

// Since is what was spent after an earlier look.
func (u Usage) Since(before Usage) Usage {
	u.Services, u.Postgres = u.Services-before.Services, u.Postgres-before.Postgres
	return u
}

// ticks is the unit of /proc: a hundredth of a second on every Linux that Go runs on.
const ticks = time.Second / 100

// Usage reads /proc; zeroes where there is none.
func (in *Installation) Usage() (u Usage) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	parent, spent := map[int]int{}, map[int]time.Duration{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		// The name in parentheses may hold anything; what follows it is fixed: state, parent, …, utime, stime, cutime, cstime.
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		parent[pid], _ = strconv.Atoi(fields[1])
		for _, at := range []int{11, 12, 13, 14} {
			n, _ := strconv.ParseInt(fields[at], 10, 64)
			spent[pid] += time.Duration(n) * ticks
		}
		if pid == in.dev.Process.Pid {
			pages, _ := strconv.ParseInt(fields[21], 10, 64)
			u.Resident = pages * int64(os.Getpagesize())
		}
	}
	u.Peak = peak(in.dev.Process.Pid)
	for pid := range parent {
		switch {
		case pid == in.dev.Process.Pid:
			u.Services = spent[pid]
		case below(parent, pid, in.dev.Process.Pid):
			u.Postgres += spent[pid]
		}
	}
	return u
}

func below(parent map[int]int, pid, ancestor int) bool {
	for pid > 1 {
		if pid = parent[pid]; pid == ancestor {
			return true
		}
	}
	return false
}

func peak(pid int) int64 {
	raw, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
