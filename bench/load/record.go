package main

import (
	"math"
	"slices"
	"sync"
	"time"
)

// record is what was measured; calls may be added from several goroutines.
type record struct {
	started, ended time.Time

	lock       sync.Mutex
	latencies  []time.Duration
	replyBytes int
	errors     int
	firstError string
}

func (r *record) add(latency time.Duration, replyBytes int, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if err != nil {
		r.fail(1, err.Error())
		return
	}
	r.latencies = append(r.latencies, latency)
	r.replyBytes += replyBytes
}

func (r *record) merge(other *record) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.latencies = append(r.latencies, other.latencies...)
	r.replyBytes += other.replyBytes
	r.fail(other.errors, other.firstError)
}

func (r *record) fail(number int, words string) {
	r.errors += number
	if r.firstError == "" {
		r.firstError = words
	}
}

// report is what is printed. Latencies are those of calls that were answered.
type report struct {
	Calls          int     `json:"calls"`
	Seconds        float64 `json:"seconds"`
	CallsPerSecond float64 `json:"calls_per_second"`
	P50            float64 `json:"p50_ms"`
	P90            float64 `json:"p90_ms"`
	P99            float64 `json:"p99_ms"`
	ReplyBytes     float64 `json:"mean_reply_bytes"`
	Errors         int     `json:"errors"`
	FirstError     string  `json:"first_error,omitempty"`
}

func (r *record) report() report {
	slices.Sort(r.latencies)
	calls := len(r.latencies)
	seconds := r.ended.Sub(r.started).Seconds()
	return report{
		Calls:          calls,
		Seconds:        rounded(seconds),
		CallsPerSecond: rounded(float64(calls) / seconds),
		P50:            r.percentile(50),
		P90:            r.percentile(90),
		P99:            r.percentile(99),
		ReplyBytes:     rounded(float64(r.replyBytes) / float64(max(calls, 1))),
		Errors:         r.errors,
		FirstError:     r.firstError,
	}
}

// percentile is in milliseconds, of sorted latencies.
func (r *record) percentile(percent int) float64 {
	if len(r.latencies) == 0 {
		return 0
	}
	position := min(len(r.latencies)*percent/100, len(r.latencies)-1)
	return rounded(r.latencies[position].Seconds() * 1e3)
}

func rounded(value float64) float64 { return math.Round(value*1e3) / 1e3 }
