package akin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// recommenderServer is a server whose methods call functions of the test.
type recommenderServer struct {
	akinv1.UnimplementedRecommenderServiceServer
	get         func(context.Context) error
	update      func(*akinv1.UpdateItemRequest) error
	importItems func(itemStream) error
	importUsers func(userStream) error
}

func (s recommenderServer) GetItem(
	ctx context.Context, _ *akinv1.GetItemRequest,
) (*akinv1.GetItemResponse, error) {
	return &akinv1.GetItemResponse{}, s.get(ctx)
}

func (s recommenderServer) UpdateItem(
	_ context.Context, request *akinv1.UpdateItemRequest,
) (*akinv1.UpdateItemResponse, error) {
	return &akinv1.UpdateItemResponse{}, s.update(request)
}

func (s recommenderServer) ImportItems(stream itemStream) error {
	return s.importItems(stream)
}

func (s recommenderServer) ImportUsers(stream userStream) error {
	return s.importUsers(stream)
}

func dialRecommender(t *testing.T, behavior recommenderServer, opts ...akin.Option) *akin.Client {
	t.Helper()
	return dial(t, serveRecommender(t, behavior), opts...)
}

// serveRecommender starts a server with more services, and returns its address.
func serveRecommender(
	t *testing.T, behavior recommenderServer, register ...func(*grpc.Server),
) string {
	t.Helper()
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	akinv1.RegisterRecommenderServiceServer(server, behavior)
	for _, add := range register {
		add(server)
	}
	return listen(t, server)
}

// listen starts a server and returns its address.
func listen(t *testing.T, server *grpc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func dial(t *testing.T, address string, opts ...akin.Option) *akin.Client {
	t.Helper()
	client, err := akin.Dial(address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// Every call sends the API key and has the default deadline.
func TestACallSendsKeyAndDeadline(t *testing.T) {
	var key []string
	var remaining time.Duration
	client := dialRecommender(t, recommenderServer{get: func(ctx context.Context) error {
		headers, _ := metadata.FromIncomingContext(ctx)
		key = headers.Get("authorization")
		remaining = timeToDeadline(t, ctx)
		return nil
	}}, akin.WithAPIKey("secret"))
	if _, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{}); err != nil {
		t.Fatal(err)
	}
	if strings.Join(key, ",") != "Bearer secret" {
		t.Errorf("the key is %q", key)
	}
	if remaining <= 0 || remaining > akin.DefaultTimeout {
		t.Errorf("the deadline is in %v", remaining)
	}
}

// A failed call returns an *akin.Error, which gRPC's package status understands too.
func TestACallReturnsADecodedError(t *testing.T) {
	rejection := invalidRequest(t)
	client := dialRecommender(t, recommenderServer{get: func(context.Context) error { return rejection }})
	_, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{})
	var decoded *akin.Error
	if !errors.As(err, &decoded) || decoded.Reason != "INVALID_REQUEST" {
		t.Errorf("got %v", err)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("the code is %v", status.Code(err))
	}
}

// A call that fails with UNAVAILABLE is sent again, unchanged.
func TestUnavailableIsRetried(t *testing.T) {
	var masks []string
	client := dialRecommender(t, recommenderServer{update: func(request *akinv1.UpdateItemRequest) error {
		masks = append(masks, strings.Join(request.GetUpdateMask().GetPaths(), ","))
		if len(masks) == 1 {
			return status.Error(codes.Unavailable, "starting")
		}
		return nil
	}})
	request := &akinv1.UpdateItemRequest{
		Item:       &akinv1.Item{ItemId: "a"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"attributes.in stock", "expire_time"}},
	}
	if _, err := client.Recommender.UpdateItem(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if strings.Join(masks, ";") != "attributes.in stock,expire_time;attributes.in stock,expire_time" {
		t.Errorf("the masks are %q", masks)
	}
}

// A name with several addresses stands for replicas: each of them gets a share of the calls.
func TestCallsAreSpreadOverAllAddresses(t *testing.T) {
	var counts [2]atomic.Int32
	addresses := manual.NewBuilderWithScheme("replicas")
	state := resolver.State{}
	for i := range counts {
		count := func(context.Context) error {
			counts[i].Add(1)
			return nil
		}
		address := serveRecommender(t, recommenderServer{get: count})
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	addresses.InitialState(state)
	client := dial(t, "replicas:///akin", akin.WithDialOptions(grpc.WithResolvers(addresses)))
	// The connections are ready at different times.
	for range 2_000 {
		if _, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{}); err != nil {
			t.Fatal(err)
		}
		if counts[0].Load() > 0 && counts[1].Load() > 0 {
			return
		}
	}
	t.Errorf("the replicas got %d and %d calls", counts[0].Load(), counts[1].Load())
}

// The client retries every unary method and no stream.
func TestEveryUnaryMethodIsRetried(t *testing.T) {
	text, err := os.ReadFile("service_config.json")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		MethodConfig []struct {
			Name []struct{ Service, Method string }
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	retried := map[string]bool{}
	for _, name := range config.MethodConfig[0].Name {
		retried[name.Service+"/"+name.Method] = true
	}
	unary := 0
	for _, service := range []grpc.ServiceDesc{
		akinv1.RecommenderService_ServiceDesc, akinv1.CatalogService_ServiceDesc,
		akinv1.AnalysisService_ServiceDesc, akinv1.InteractionService_ServiceDesc,
	} {
		unary += len(service.Methods)
		for _, method := range service.Methods {
			if name := service.ServiceName + "/" + method.MethodName; !retried[name] {
				t.Errorf("%s is not retried", name)
			}
		}
	}
	if len(retried) != unary {
		t.Errorf("%d methods are retried, of %d unary methods", len(retried), unary)
	}
}

// WithTimeout changes the default deadline.
func TestTheDefaultDeadlineCanBeChanged(t *testing.T) {
	client := dialRecommender(t, recommenderServer{get: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}, akin.WithTimeout(50*time.Millisecond))
	_, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// Without TLS, the client accepts an API key only for a loopback address.
func TestAKeyRequiresTLSOrLoopback(t *testing.T) {
	remote := []string{"akin.example:50051", "dns:///akin.example", "localhost.example:1", "10.0.0.1:1"}
	for _, address := range remote {
		if _, err := akin.Dial(address, akin.WithAPIKey("secret")); err == nil {
			t.Errorf("%s is accepted", address)
		}
		dial(t, address, akin.WithAPIKey("secret"), akin.WithTLS(nil))
		dial(t, address, akin.WithAPIKey(""))
	}
	for _, address := range []string{"localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1"} {
		dial(t, address, akin.WithAPIKey("secret"))
	}
}

// Dial rejects TLS files that are missing, are not PEM, or lack their counterpart.
func TestInvalidTLSFilesAreRejected(t *testing.T) {
	for _, files := range [][3]string{
		{"no-such-file", "", ""}, {"README.md", "", ""}, {"", "only-a-certificate", ""},
	} {
		_, err := akin.Dial("localhost:1", akin.WithTLSFiles(files[0], files[1], files[2]))
		if err == nil {
			t.Errorf("%v is accepted", files)
		}
	}
}
