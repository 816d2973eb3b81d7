package akin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// The cases, and what the fields mean, are told in the README beside them.
const casesPath = "../conformance/cases.json"

type conformanceCase struct {
	Name  string
	Steps []step
}

type step struct {
	Method       string
	Request      any
	Requests     []any
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

func TestConformance(t *testing.T) {
	address := os.Getenv("AKIN_ADDRESS")
	if address == "" {
		t.Skip("AKIN_ADDRESS names no server to run the cases against")
	}
	text, err := os.ReadFile(casesPath)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []conformanceCase }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("there are no cases")
	}
	client := dial(t, address)
	for _, each := range file.Cases {
		t.Run(each.Name, func(t *testing.T) {
			saved := map[string]any{}
			for number, step := range each.Steps {
				if err := step.run(t.Context(), client, saved); err != nil {
					t.Fatalf("step %d, %s: %v", number+1, step.Method, err)
				}
			}
		})
	}
}

func TestConformanceOfTLSAndKey(t *testing.T) {
	address := os.Getenv("AKIN_TLS_ADDRESS")
	if address == "" {
		t.Skip("AKIN_TLS_ADDRESS names no server that wants TLS and a key")
	}
	files := akin.WithTLSFiles(
		os.Getenv("AKIN_TLS_CA"), os.Getenv("AKIN_TLS_CERT"), os.Getenv("AKIN_TLS_KEY"),
	)
	known := dial(t, address, files, akin.WithAPIKey(os.Getenv("AKIN_API_KEY")))
	if _, err := known.Catalogs.GetCatalog(t.Context(), &akinv1.GetCatalogRequest{}); err != nil {
		t.Errorf("with a key: %v", err)
	}
	unknown := dial(t, address, files)
	_, err := unknown.Catalogs.GetCatalog(t.Context(), &akinv1.GetCatalogRequest{})
	if failed, ok := akin.ErrorOf(err); !ok || failed.Code != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
}

func (s step) run(ctx context.Context, client *akin.Client, saved map[string]any) error {
	timeout := akin.DefaultTimeout
	if s.TimeoutMs != 0 {
		timeout = time.Duration(s.TimeoutMs) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	requests := s.Requests
	if s.Request != nil {
		requests = []any{s.Request}
	}
	responses, err := call(ctx, client, s.Method, expand(requests, saved).([]any))
	if s.Error != nil {
		return s.Error.match(err)
	}
	if err != nil {
		return err
	}
	if s.Responses != nil {
		if err := match(expand(s.Responses, saved), any(responses), "responses"); err != nil {
			return err
		}
	}
	if s.Response != nil {
		if err := match(expand(s.Response, saved), responses[0], "response"); err != nil {
			return err
		}
	}
	if s.LastResponse != nil {
		if len(responses) == 0 {
			return errors.New("there is no response")
		}
		last := responses[len(responses)-1]
		if err := match(expand(s.LastResponse, saved), last, "last response"); err != nil {
			return err
		}
	}
	for name, path := range s.Save {
		saved[name] = at(responses[0], path)
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
		if wanted := slices.Sorted(slices.Values(e.Fields)); !slices.Equal(fields, wanted) {
			return fmt.Errorf("got the fields %q, want %q", fields, wanted)
		}
	}
	if e.RetryDelay && failed.RetryAfter <= 0 {
		return errors.New("there is no RetryInfo")
	}
	return nil
}

// call makes a call of any method through the client's own connection, from and to JSON.
func call(ctx context.Context, client *akin.Client, name string, requests []any) ([]any, error) {
	service, method, _ := strings.Cut(name, ".")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(
		protoreflect.FullName("akin.v1." + service),
	)
	if err != nil {
		return nil, err
	}
	described := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	if described == nil {
		return nil, fmt.Errorf("there is no %s", name)
	}
	messages := make([]proto.Message, len(requests))
	for index, request := range requests {
		text, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		messages[index] = newMessage(described.Input())
		if err := protojson.Unmarshal(text, messages[index]); err != nil {
			return nil, err
		}
	}
	path := fmt.Sprintf("/akin.v1.%s/%s", service, method)
	if described.IsStreamingClient() || described.IsStreamingServer() {
		return callStream(ctx, client, path, described, messages)
	}
	reply := newMessage(described.Output())
	if err := client.Conn().Invoke(ctx, path, messages[0], reply); err != nil {
		return nil, err
	}
	decoded, err := toJSON(reply)
	return []any{decoded}, err
}

func callStream(
	ctx context.Context, client *akin.Client, path string,
	described protoreflect.MethodDescriptor, messages []proto.Message,
) ([]any, error) {
	kind := &grpc.StreamDesc{
		ClientStreams: described.IsStreamingClient(), ServerStreams: described.IsStreamingServer(),
	}
	stream, err := client.Conn().NewStream(ctx, kind, path)
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		// io.EOF means that the stream has ended; receiving tells why.
		if err := stream.SendMsg(message); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	responses := []any{}
	for {
		reply := newMessage(described.Output())
		if err := stream.RecvMsg(reply); errors.Is(err, io.EOF) {
			return responses, nil
		} else if err != nil {
			return nil, err
		}
		decoded, err := toJSON(reply)
		if err != nil {
			return nil, err
		}
		responses = append(responses, decoded)
	}
}

func newMessage(described protoreflect.MessageDescriptor) proto.Message {
	found, err := protoregistry.GlobalTypes.FindMessageByName(described.FullName())
	if err != nil {
		panic(err) // the package of the stubs registers every message
	}
	return found.New().Interface()
}

func toJSON(message proto.Message) (any, error) {
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil, err
	}
	var decoded any
	err = json.Unmarshal(text, &decoded)
	return decoded, err
}
