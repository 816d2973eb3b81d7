package akin_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	akin "akin.dev/go"
)

func statusError(t *testing.T, code codes.Code, details ...protoadapt.MessageV1) error {
	t.Helper()
	withDetails, err := status.New(code, "the explanation").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return withDetails.Err()
}

func invalidRequest(t *testing.T) error {
	return statusError(t, codes.InvalidArgument,
		&errdetails.ErrorInfo{Domain: "akin", Reason: "INVALID_REQUEST"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "limit", Description: "at most 1000"},
			{Field: "diversity", Description: "at most 1"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	)
}

// ErrorOf decodes all details of a status and keeps the status itself.
func TestAnErrorHasAllDetails(t *testing.T) {
	err := invalidRequest(t)
	decoded, ok := akin.ErrorOf(fmt.Errorf("while testing: %w", err))
	if !ok {
		t.Fatal("a status is not decoded")
	}
	violations := []akin.Violation{{"limit", "at most 1000"}, {"diversity", "at most 1"}}
	if decoded.Code != codes.InvalidArgument || decoded.Message != "the explanation" ||
		decoded.Reason != "INVALID_REQUEST" || decoded.RetryAfter != 1500*time.Millisecond ||
		!reflect.DeepEqual(decoded.Violations, violations) {
		t.Errorf("got %+v", decoded)
	}
	if status.Code(decoded) != codes.InvalidArgument || len(status.Convert(decoded).Details()) != 3 {
		t.Errorf("the status is lost: %v", status.Convert(decoded))
	}
	again, ok := akin.ErrorOf(fmt.Errorf("while testing: %w", decoded))
	if !ok || again != decoded {
		t.Error("a decoded error is decoded again")
	}
}

// A reason with another domain, such as a proxy's, is not reported as a reason of Akin.
func TestAReasonOfAnotherDomainIsIgnored(t *testing.T) {
	err := statusError(t, codes.Unavailable, &errdetails.ErrorInfo{Domain: "proxy", Reason: "BUSY"})
	decoded, ok := akin.ErrorOf(err)
	if !ok || decoded.Reason != "" || decoded.RetryAfter != 0 || decoded.Violations != nil {
		t.Errorf("got %+v", decoded)
	}
}

// Errors without a status are not decoded.
func TestOtherErrorsAreNotDecoded(t *testing.T) {
	for _, err := range []error{nil, errors.New("no status")} {
		if decoded, ok := akin.ErrorOf(err); ok {
			t.Errorf("%v became %+v", err, decoded)
		}
	}
}

// An *akin.Error that a caller creates has a gRPC status.
func TestAnErrorOfACallerHasAStatus(t *testing.T) {
	if code := status.Code(&akin.Error{Code: codes.NotFound}); code != codes.NotFound {
		t.Errorf("got %v", code)
	}
}
