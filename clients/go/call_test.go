package akin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	akin "akin.dev/go"
)

// findMethod returns the method with a name such as RecommenderService.GetItem.
func findMethod(name string) (protoreflect.MethodDescriptor, error) {
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(
		protoreflect.FullName("akin.v1." + name),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return descriptor.(protoreflect.MethodDescriptor), nil
}

// call calls a method through the connection of the client and returns the responses as JSON values.
func call(
	ctx context.Context, client *akin.Client, method protoreflect.MethodDescriptor,
	messages []proto.Message,
) ([]any, error) {
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	if method.IsStreamingClient() || method.IsStreamingServer() {
		return callStream(ctx, client, path, method, messages)
	}
	response := newMessage(method.Output())
	if err := client.Conn().Invoke(ctx, path, messages[0], response); err != nil {
		return nil, err
	}
	decoded, err := toJSON(response)
	return []any{decoded}, err
}

func callStream(
	ctx context.Context, client *akin.Client, path string,
	method protoreflect.MethodDescriptor, messages []proto.Message,
) ([]any, error) {
	desc := &grpc.StreamDesc{
		ClientStreams: method.IsStreamingClient(), ServerStreams: method.IsStreamingServer(),
	}
	stream, err := client.Conn().NewStream(ctx, desc, path)
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		// io.EOF means that the stream has ended. RecvMsg returns the reason.
		if err := stream.SendMsg(message); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	responses := []any{}
	for {
		response := newMessage(method.Output())
		if err := stream.RecvMsg(response); errors.Is(err, io.EOF) {
			return responses, nil
		} else if err != nil {
			return nil, err
		}
		decoded, err := toJSON(response)
		if err != nil {
			return nil, err
		}
		responses = append(responses, decoded)
	}
}

func newMessage(descriptor protoreflect.MessageDescriptor) proto.Message {
	messageType, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		panic(err) // akinv1 registers every message
	}
	return messageType.New().Interface()
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
