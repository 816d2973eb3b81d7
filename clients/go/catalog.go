package akin

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"akin.dev/go/akinv1"
)

// Catalog returns a client of a catalog, which shares the connection: requests with an empty catalog
// name use this catalog. CreateCatalog and DeleteCatalog always need a name, so that no forgotten one
// deletes a catalog. Closing one of the clients closes the connection of both.
//
// WithCatalog sets the catalog of a client from the start.
func (c *Client) Catalog(name string) *Client {
	return newClient(c.conn, name)
}

func newClient(conn *grpc.ClientConn, catalog string) *Client {
	var calls grpc.ClientConnInterface = conn
	if catalog != "" {
		calls = catalogConn{conn, catalog}
	}
	return &Client{
		Recommender:  akinv1.NewRecommenderServiceClient(calls),
		Catalogs:     akinv1.NewCatalogServiceClient(calls),
		Interactions: akinv1.NewInteractionServiceClient(calls),
		Analysis:     akinv1.NewAnalysisServiceClient(calls),
		conn:         conn,
	}
}

// catalogConn names a catalog in requests that name none.
type catalogConn struct {
	*grpc.ClientConn
	catalog string
}

// Invoke implements grpc.ClientConnInterface.
func (c catalogConn) Invoke(
	ctx context.Context, method string, request, reply any, opts ...grpc.CallOption,
) error {
	return c.ClientConn.Invoke(ctx, method, withCatalog(request, c.catalog), reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c catalogConn) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := c.ClientConn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	return catalogStream{stream, c.catalog}, nil
}

type catalogStream struct {
	grpc.ClientStream
	catalog string
}

// SendMsg implements grpc.ClientStream.
func (s catalogStream) SendMsg(request any) error {
	return s.ClientStream.SendMsg(withCatalog(request, s.catalog))
}

// withCatalog returns a request that names the catalog: a copy if it named none. The copy shares the
// content of the request, which does not change.
func withCatalog(request any, catalog string) any {
	switch request.(type) {
	case *akinv1.CreateCatalogRequest, *akinv1.DeleteCatalogRequest:
		return request
	}
	message, ok := request.(proto.Message)
	if !ok {
		return request
	}
	original := message.ProtoReflect()
	field := original.Descriptor().Fields().ByName("catalog")
	if field == nil || original.Has(field) {
		return request
	}
	named := original.New()
	original.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		named.Set(field, value)
		return true
	})
	named.Set(field, protoreflect.ValueOfString(catalog))
	return named.Interface()
}
