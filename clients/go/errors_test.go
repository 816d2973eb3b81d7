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
	made, err := status.New(code, "told in a sentence").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return made.Err()
}

func invalid(t *testing.T) error {
	return statusError(t, codes.InvalidArgument,
		&errdetails.ErrorInfo{Domain: "akin", Reason: "INVALID_REQUEST"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "limit", Description: "at most 1000"},
			{Field: "diversity", Description: "at most 1"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	)
}

func TestAnErrorHasAllDetails(t *testing.T) {
	err := invalid(t)
	got, ok := akin.ErrorOf(fmt.Errorf("while testing: %w", err))
	if !ok {
		t.Fatal("a status is not decoded")
	}
	violations := []akin.Violation{{"limit", "at most 1000"}, {"diversity", "at most 1"}}
	if got.Code != codes.InvalidArgument || got.Message != "told in a sentence" ||
		got.Reason != "INVALID_REQUEST" || got.RetryAfter != 1500*time.Millisecond ||
		!reflect.DeepEqual(got.Violations, violations) {
		t.Errorf("got %+v", got)
	}
	if status.Code(got) != codes.InvalidArgument || len(status.Convert(got).Details()) != 3 {
		t.Errorf("the status is lost: %v", status.Convert(got))
	}
	again, ok := akin.ErrorOf(fmt.Errorf("while testing: %w", got))
	if !ok || again != got {
		t.Error("what is decoded is decoded again")
	}
}

func TestAReasonOfAnotherDomainIsNotAkins(t *testing.T) {
	err := statusError(t, codes.Unavailable, &errdetails.ErrorInfo{Domain: "proxy", Reason: "BUSY"})
	got, ok := akin.ErrorOf(err)
	if !ok || got.Reason != "" || got.RetryAfter != 0 || got.Violations != nil {
		t.Errorf("got %+v", got)
	}
}

func TestOtherErrorsAreNotDecoded(t *testing.T) {
	for _, err := range []error{nil, errors.New("no status")} {
		if got, ok := akin.ErrorOf(err); ok {
			t.Errorf("%v became %+v", err, got)
		}
	}
}

func TestAnErrorMadeByHandHasAStatus(t *testing.T) {
	if code := status.Code(&akin.Error{Code: codes.NotFound}); code != codes.NotFound {
		t.Errorf("got %v", code)
	}
}
