package io.akin;

import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.protobuf.FieldMask;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.akin.v1.AnalysisServiceGrpc;
import io.akin.v1.CatalogServiceGrpc;
import io.akin.v1.InteractionServiceGrpc;
import io.akin.v1.RecommenderServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.ServiceDescriptor;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Calls any method of Akin with requests and responses in JSON. */
final class Caller {
  private final Channel channel;

  Caller(Channel channel) {
    this.channel = channel;
  }

  /**
   * Calls a method and returns the responses.
   *
   * @param name the name of the method, such as {@code RecommenderService.GetItem}
   * @param requests the requests, of which there is one unless the method takes a stream
   * @param updateMask the paths of the update mask of the requests, or null
   * @param timeoutMs the deadline of the call, in milliseconds
   */
  List<JsonElement> call(
      String name, List<JsonElement> requests, List<String> updateMask, long timeoutMs)
      throws Exception {
    MethodDescriptor<Message, Message> method = method(name);
    List<Message> messages = new ArrayList<>();
    for (JsonElement request : requests) {
      messages.add(message(method, request, updateMask));
    }
    ClientCall<Message, Message> call =
        channel.newCall(
            method, CallOptions.DEFAULT.withDeadlineAfter(timeoutMs, TimeUnit.MILLISECONDS));
    List<Message> responses =
        switch (method.getType()) {
          case UNARY -> List.of(ClientCalls.blockingUnaryCall(call, messages.get(0)));
          case SERVER_STREAMING ->
              collect(ClientCalls.blockingServerStreamingCall(call, messages.get(0)));
          default -> exchange(call, messages);
        };
    List<JsonElement> elements = new ArrayList<>();
    for (Message response : responses) {
      elements.add(JsonParser.parseString(JsonFormat.printer().print(response)));
    }
    return elements;
  }

  private static List<Message> collect(Iterator<Message> responses) {
    List<Message> messages = new ArrayList<>();
    responses.forEachRemaining(messages::add);
    return messages;
  }

  private static List<Message> exchange(
      ClientCall<Message, Message> call, List<Message> requests) throws Exception {
    List<Message> responses = new ArrayList<>();
    CompletableFuture<List<Message>> done = new CompletableFuture<>();
    StreamObserver<Message> sender =
        ClientCalls.asyncBidiStreamingCall(
            call,
            new StreamObserver<Message>() {
              @Override
              public void onNext(Message response) {
                responses.add(response);
              }

              @Override
              public void onError(Throwable error) {
                done.completeExceptionally(error);
              }

              @Override
              public void onCompleted() {
                done.complete(responses);
              }
            });
    requests.forEach(sender::onNext);
    sender.onCompleted();
    return done.get();
  }

  @SuppressWarnings("unchecked") // Every method of these services takes and returns messages.
  private static MethodDescriptor<Message, Message> method(String name) {
    return Stream.of(
            RecommenderServiceGrpc.getServiceDescriptor(),
            CatalogServiceGrpc.getServiceDescriptor(),
            InteractionServiceGrpc.getServiceDescriptor(),
            AnalysisServiceGrpc.getServiceDescriptor())
        .map(ServiceDescriptor::getMethods)
        .flatMap(Collection::stream)
        .filter(method -> method.getFullMethodName().equals("akin.v1." + name.replace('.', '/')))
        .map(method -> (MethodDescriptor<Message, Message>) method)
        .findFirst()
        .orElseThrow();
  }

  private static Message message(
      MethodDescriptor<Message, Message> method, JsonElement json, List<String> updateMask)
      throws InvalidProtocolBufferException {
    PrototypeMarshaller<Message> marshaller =
        (PrototypeMarshaller<Message>) method.getRequestMarshaller();
    Message.Builder builder = marshaller.getMessagePrototype().newBuilderForType();
    JsonFormat.parser().merge(json.toString(), builder);
    if (updateMask != null) {
      builder.setField(
          builder.getDescriptorForType().findFieldByName("update_mask"),
          FieldMask.newBuilder().addAllPaths(updateMask).build());
    }
    return builder.build();
  }
}
