package main

import (
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// record is what was measured; calls may be added from several goroutines.
type record struct {
	started, ended time.Time

	lock       sync.Mutex
	latencies  []time.Duration
	replyBytes int
	errors     int
	codes      map[string]int
	failures   []time.Duration
	notSent    int
	firstError string

	// Calls that a mixed load counts apart.
	writes *record
}

func (r *record) add(latency time.Duration, replyBytes int, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if err != nil {
		r.failures = append(r.failures, latency)
		r.fail(1, err.Error())
		r.count(codeOf(err), 1)
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
	r.failures = append(r.failures, other.failures...)
	r.fail(other.errors, other.firstError)
	for code, number := range other.codes {
		r.count(code, number)
	}
}

func (r *record) count(code string, number int) {
	if r.codes == nil {
		r.codes = map[string]int{}
	}
	r.codes[code] += number
}

// codeOf is the gRPC status code of a failed call, with the reason of its ErrorInfo if it has one.
func codeOf(err error) string {
	failure := status.Convert(err)
	for _, detail := range failure.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return failure.Code().String() + " " + info.Reason
		}
	}
	return failure.Code().String()
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
	P95            float64 `json:"p95_ms"`
	P99            float64 `json:"p99_ms"`
	ReplyBytes     float64 `json:"mean_reply_bytes"`
	Errors         int     `json:"errors"`
	FirstError     string  `json:"first_error,omitempty"`

	// Of calls that failed: their codes, and how long they took.
	Codes     map[string]int `json:"codes,omitempty"`
	FailedP50 float64        `json:"failed_p50_ms,omitempty"`
	FailedP99 float64        `json:"failed_p99_ms,omitempty"`
	NotSent   int            `json:"not_sent,omitempty"`

	Writes *report `json:"writes,omitempty"`
}

func (r *record) report() report {
	var writes *report
	if r.writes != nil {
		inner := r.writes.report()
		writes = &inner
	}
	slices.Sort(r.latencies)
	slices.Sort(r.failures)
	calls := len(r.latencies)
	seconds := r.ended.Sub(r.started).Seconds()
	return report{
		Calls:          calls,
		Seconds:        rounded(seconds),
		CallsPerSecond: rounded(float64(calls) / seconds),
		P50:            percentile(r.latencies, 50),
		P95:            percentile(r.latencies, 95),
		P99:            percentile(r.latencies, 99),
		ReplyBytes:     rounded(float64(r.replyBytes) / float64(max(calls, 1))),
		Errors:         r.errors,
		FirstError:     r.firstError,
		Codes:          r.codes,
		FailedP50:      percentile(r.failures, 50),
		FailedP99:      percentile(r.failures, 99),
		NotSent:        r.notSent,
		Writes:         writes,
	}
}

// percentile is in milliseconds, of sorted latencies.
func percentile(latencies []time.Duration, percent int) float64 {
	if len(latencies) == 0 {
		return 0
	}
	position := min(len(latencies)*percent/100, len(latencies)-1)
	return rounded(latencies[position].Seconds() * 1e3)
}

func rounded(value float64) float64 { return math.Round(value*1e3) / 1e3 }
