// Package akin is a client of Akin, a recommendation service: item texts in, recommendations out.
//
// The calls and messages are those of package akinv1; this package adds what a connection needs:
// deadlines, retries, TLS and a key, errors that tell what is wrong, and streaming imports.
package akin

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"akin.dev/go/akinv1"
)

// DefaultTimeout is the deadline of a unary call whose context has none; retries happen within it.
const DefaultTimeout = 10 * time.Second

// AnalysisTimeout is the same for FindDuplicates, FindOutliers and ClusterItems, which go through a
// whole catalog: shortly before their deadline they answer from the part that they have looked at.
const AnalysisTimeout = 10 * time.Minute

const messageBytes = 64 << 20

// Five attempts, gRPC's most, after about 0.5, 1, 2 and 4 s outlast a server's restart within the
// deadline. Where the connection broke after the work was done, the repeat of a write finds it done:
// DeleteItem answers NOT_FOUND, and a write with an expected sequence ABORTED.
//
//go:embed service_config.json
var serviceConfig string

// Client is a connection to an Akin server; any number of goroutines may share it.
//
// Errors of its calls are of type *Error. Requests name their catalog; an empty name means the
// server's default one.
type Client struct {
	// Recommender has the calls for items, users and recommendations.
	Recommender akinv1.RecommenderServiceClient

	// Catalogs has the calls for catalogs and the change of their models.
	Catalogs akinv1.CatalogServiceClient

	// Analysis has the calls for repetitions, oddities, groups, labels and passages.
	Analysis akinv1.AnalysisServiceClient

	conn *grpc.ClientConn
}

// Dial prepares a client for the server at an address such as 127.0.0.1:50051. It connects with the
// first call.
func Dial(address string, opts ...Option) (*Client, error) {
	chosen := settings{timeout: DefaultTimeout}
	for _, opt := range opts {
		if err := opt(&chosen); err != nil {
			return nil, err
		}
	}
	dialOptions, err := chosen.gather(address)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(address, dialOptions...)
	if err != nil {
		return nil, fmt.Errorf("akin: %w", err)
	}
	return &Client{
		Recommender: akinv1.NewRecommenderServiceClient(conn),
		Catalogs:    akinv1.NewCatalogServiceClient(conn),
		Analysis:    akinv1.NewAnalysisServiceClient(conn),
		conn:        conn,
	}, nil
}

// Conn is the connection beneath, for services that have no field here, such as gRPC's health check.
func (c *Client) Conn() *grpc.ClientConn {
	return c.conn
}

// Close ends the connection, and with it the calls under way.
func (c *Client) Close() error {
	return c.conn.Close()
}

// gather turns the settings into gRPC's options; the caller's own come last, so that they win.
func (s *settings) gather(address string) ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	gathered := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(messageBytes), grpc.MaxCallSendMsgSize(messageBytes),
		),
		grpc.WithChainUnaryInterceptor(s.unary),
		grpc.WithChainStreamInterceptor(limitStream, decodeStream),
	}
	if s.key != "" {
		if s.tls == nil && !isLoopback(address) {
			return nil, fmt.Errorf("akin: a key would be sent in the clear to %s: use WithTLS", address)
		}
		gathered = append(gathered, grpc.WithPerRPCCredentials(apiKey{s.key, s.tls != nil}))
	}
	return append(gathered, s.dialOptions...), nil
}

// unary gives a call its deadline and decodes its error.
func (s *settings) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	ctx, cancel := limit(ctx, method, s.timeout)
	defer cancel()
	// What exceeds this buffer is not tried again. The request is in memory anyway; that is not so
	// for streams, which keep gRPC's own small bound.
	opts = append([]grpc.CallOption{grpc.MaxRetryRPCBufferSize(messageBytes)}, opts...)
	return decode(invoke(ctx, method, request, reply, conn, opts...))
}
