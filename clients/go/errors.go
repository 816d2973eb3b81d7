package akin

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is the error of a failed call. Get it with errors.As. The functions of gRPC's package status
// work on it too.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code

	// Message explains the error for people. Its wording can change.
	Message string

	// Reason is the ErrorInfo reason, such as ITEM_NOT_FOUND. It is empty if no Akin server
	// responded.
	Reason string

	// Violations lists every invalid field of the request, for codes.InvalidArgument.
	Violations []Violation

	// RetryAfter is the time to wait before retrying. It is 0 if retrying cannot help.
	RetryAfter time.Duration

	// RequestID is the id of the call, which the log of the server has. It is empty if no Akin server
	// responded.
	RequestID string

	status *status.Status
}

// Violation is an invalid field of a request.
type Violation struct {
	// Field is the path of the field, such as item.text.
	Field string

	// Description explains what is wrong with the field, for people.
	Description string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("akin: %s: %s", e.Code, e.Message)
}

// GRPCStatus returns the status of the call, for gRPC's package status.
func (e *Error) GRPCStatus() *status.Status {
	if e.status == nil {
		return status.New(e.Code, e.Message)
	}
	return e.status
}

// ErrorOf returns the *Error that an error wraps. If the error wraps a gRPC status instead, ErrorOf
// decodes it. Otherwise it returns false.
func ErrorOf(err error) (*Error, bool) {
	var decoded *Error
	if errors.As(err, &decoded) {
		return decoded, true
	}
	var raw interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &raw) {
		return nil, false
	}
	return fromStatus(raw.GRPCStatus()), true
}

// decode returns the *Error of a failed call. It returns other values unchanged: nil, and the io.EOF
// that ends a stream.
func decode(err error) error {
	if decoded, ok := ErrorOf(err); ok {
		return decoded
	}
	return err
}

func fromStatus(from *status.Status) *Error {
	decoded := &Error{Code: from.Code(), Message: from.Message(), status: from}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			// A proxy can respond with reasons of its own.
			if detail.GetDomain() == "akin" {
				decoded.Reason = detail.GetReason()
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				decoded.Violations = append(
					decoded.Violations, Violation{violation.GetField(), violation.GetDescription()},
				)
			}
		case *errdetails.RetryInfo:
			decoded.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return decoded
}
