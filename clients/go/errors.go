package akin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is what a failed call tells. errors.As finds it in every error of a Client's calls, and
// gRPC's status.Code works on it as well.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code

	// Message says what went wrong, in a sentence.
	Message string

	// Reason is the stable name of the error, such as ITEM_NOT_FOUND; empty if Akin never answered.
	Reason string

	// Violations are all the fields at fault, for codes.InvalidArgument.
	Violations []Violation

	// RetryAfter is set where trying again later can help.
	RetryAfter time.Duration

	status *status.Status
}

// Violation is one field of the request at fault, and what is wrong with it.
type Violation struct {
	// Field is the field's path, such as item.text.
	Field string

	// Description says what is wrong, in words.
	Description string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("akin: %s: %s", e.Code, e.Message)
}

// GRPCStatus is the status as it came, for package status of gRPC.
func (e *Error) GRPCStatus() *status.Status {
	if e.status == nil {
		return status.New(e.Code, e.Message)
	}
	return e.status
}

// ErrorOf is the *Error in an error, or made of the gRPC status in it; false if it has neither.
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

// decode lets pass what is no status: nil, and the io.EOF that ends a stream.
func decode(err error) error {
	if decoded, ok := ErrorOf(err); ok {
		return decoded
	}
	return err
}

func fromStatus(from *status.Status) *Error {
	made := &Error{Code: from.Code(), Message: from.Message(), status: from}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			// A proxy on the way may answer with reasons of its own.
			if detail.GetDomain() == "akin" {
				made.Reason = detail.GetReason()
			}
		case *errdetails.BadRequest:
			for _, each := range detail.GetFieldViolations() {
				made.Violations = append(
					made.Violations, Violation{each.GetField(), each.GetDescription()},
				)
			}
		case *errdetails.RetryInfo:
			made.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return made
}

func decodeStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, decode(err)
	}
	return decodingStream{stream}, nil
}

type decodingStream struct{ grpc.ClientStream }

// SendMsg implements grpc.ClientStream.
func (s decodingStream) SendMsg(message any) error {
	return decode(s.ClientStream.SendMsg(message))
}

// RecvMsg implements grpc.ClientStream.
func (s decodingStream) RecvMsg(message any) error {
	return decode(s.ClientStream.RecvMsg(message))
}
