package akin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

const (
	// The README beside the cases describes their fields.
	casesPath = "../conformance/cases.json"

	eventualTimeout = 30 * time.Second
	eventualPause   = 50 * time.Millisecond
)

type conformanceCase struct {
	Name  string
	Steps []step
}

type step struct {
	Method       string
	Request      any
	Requests     []any
	UpdateMask   []string
	Eventually   bool
	TimeoutMs    int
	Response     any
	Responses    []any
	LastResponse any
	Error        *expectedError
	Save         map[string]string
}

type expectedError struct {
	Code       string
	Reason     string
	Fields     []string
	RetryDelay bool
}

// The server behaves as the cases say.
func TestConformance(t *testing.T) {
	address := os.Getenv("AKIN_ADDRESS")
	if address == "" {
		t.Skip("AKIN_ADDRESS is not set")
	}
	client := dial(t, address)
	for _, testCase := range readCases(t) {
		t.Run(testCase.Name, func(t *testing.T) {
			saved := map[string]any{}
			for number, step := range testCase.Steps {
				if err := step.runUntilDone(t.Context(), client, saved); err != nil {
					t.Fatalf("step %d, %s: %v", number+1, step.Method, err)
				}
			}
		})
	}
}

func readCases(t *testing.T) []conformanceCase {
	t.Helper()
	text, err := os.ReadFile(casesPath)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var file struct{ Cases []conformanceCase }
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("there are no cases")
	}
	return file.Cases
}

// With TLS, a call with an API key succeeds, and a call without one is UNAUTHENTICATED.
func TestConformanceOfTLSAndKey(t *testing.T) {
	address := os.Getenv("AKIN_TLS_ADDRESS")
	if address == "" {
		t.Skip("AKIN_TLS_ADDRESS is not set")
	}
	files := akin.WithTLSFiles(
		os.Getenv("AKIN_TLS_CA"), os.Getenv("AKIN_TLS_CERT"), os.Getenv("AKIN_TLS_KEY"),
	)
	authenticated := dial(t, address, files, akin.WithAPIKey(os.Getenv("AKIN_API_KEY")))
	if _, err := authenticated.Catalogs.GetCatalog(t.Context(), &akinv1.GetCatalogRequest{}); err != nil {
		t.Errorf("with a key: %v", err)
	}
	anonymous := dial(t, address, files)
	_, err := anonymous.Catalogs.GetCatalog(t.Context(), &akinv1.GetCatalogRequest{})
	if failed, ok := akin.ErrorOf(err); !ok || failed.Code != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
}

// runUntilDone runs a step. If the step has `eventually`, it repeats the step until it succeeds or
// eventualTimeout has passed.
func (s step) runUntilDone(ctx context.Context, client *akin.Client, saved map[string]any) error {
	start := time.Now()
	err := s.run(ctx, client, saved)
	for err != nil && s.Eventually && time.Since(start) < eventualTimeout {
		time.Sleep(eventualPause)
		err = s.run(ctx, client, saved)
	}
	return err
}

func (s step) run(ctx context.Context, client *akin.Client, saved map[string]any) error {
	timeout := akin.DefaultTimeout
	if s.TimeoutMs != 0 {
		timeout = time.Duration(s.TimeoutMs) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	method, err := findMethod(s.Method)
	if err != nil {
		return err
	}
	messages, err := s.messages(method, saved)
	if err != nil {
		return err
	}
	responses, err := call(ctx, client, method, messages)
	if s.Error != nil {
		return s.Error.match(err)
	}
	if err != nil {
		return err
	}
	if err := s.matchResponses(responses, saved); err != nil {
		return err
	}
	for name, path := range s.Save {
		saved[name] = valueAt(responses[0], path)
	}
	return nil
}

// messages returns the request messages of a step.
func (s step) messages(
	method protoreflect.MethodDescriptor, saved map[string]any,
) ([]proto.Message, error) {
	requests := s.Requests
	if s.Request != nil {
		requests = []any{s.Request}
	}
	messages := make([]proto.Message, len(requests))
	for index, request := range requests {
		text, err := json.Marshal(expand(request, saved))
		if err != nil {
			return nil, err
		}
		messages[index] = newMessage(method.Input())
		if err := protojson.Unmarshal(text, messages[index]); err != nil {
			return nil, err
		}
		if s.UpdateMask != nil {
			field := method.Input().Fields().ByName("update_mask")
			mask := &fieldmaskpb.FieldMask{Paths: s.UpdateMask}
			messages[index].ProtoReflect().Set(field, protoreflect.ValueOf(mask.ProtoReflect()))
		}
	}
	return messages, nil
}

func (s step) matchResponses(responses []any, saved map[string]any) error {
	if s.Responses != nil {
		return match(expand(s.Responses, saved), any(responses), "responses")
	}
	if s.LastResponse != nil {
		if len(responses) == 0 {
			return errors.New("there is no response")
		}
		return match(expand(s.LastResponse, saved), responses[len(responses)-1], "last response")
	}
	if s.Response != nil {
		return match(expand(s.Response, saved), responses[0], "response")
	}
	return nil
}

func (e *expectedError) match(err error) error {
	var failed *akin.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("got %v, want an error with %s", err, e.Code)
	}
	if name := code.Code_name[int32(failed.Code)]; name != e.Code {
		return fmt.Errorf("got %s, want %s: %w", name, e.Code, err)
	}
	if e.Reason != "" && failed.Reason != e.Reason {
		return fmt.Errorf("got the reason %q, want %q", failed.Reason, e.Reason)
	}
	if e.Fields != nil {
		var fields []string
		for _, violation := range failed.Violations {
			fields = append(fields, violation.Field)
		}
		slices.Sort(fields)
		if expected := slices.Sorted(slices.Values(e.Fields)); !slices.Equal(fields, expected) {
			return fmt.Errorf("got the fields %q, want %q", fields, expected)
		}
	}
	if e.RetryDelay && failed.RetryAfter <= 0 {
		return errors.New("there is no RetryInfo")
	}
	return nil
}
