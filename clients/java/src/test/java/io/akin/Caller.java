package io.akin;

import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.akin.v1.AnalysisServiceGrpc;
import io.akin.v1.CatalogServiceGrpc;
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

  /** The responses to a call, of a method named as in {@code RecommenderService.GetItem}. */
  List<JsonElement> call(String name, List<JsonElement> requests, long timeoutMs)
      throws Exception {
    MethodDescriptor<Message, Message> method = method(name);
    List<Message> messages = new ArrayList<>();
    for (JsonElement each : requests) {
      messages.add(message(method, each));
    }
    ClientCall<Message, Message> call =
        channel.newCall(
            method, CallOptions.DEFAULT.withDeadlineAfter(timeoutMs, TimeUnit.MILLISECONDS));
    List<Message> responses =
        switch (method.getType()) {
          case UNARY -> List.of(ClientCalls.blockingUnaryCall(call, messages.get(0)));
          case SERVER_STREAMING ->
              all(ClientCalls.blockingServerStreamingCall(call, messages.get(0)));
          default -> stream(call, messages);
        };
    List<JsonElement> made = new ArrayList<>();
    for (Message each : responses) {
      made.add(JsonParser.parseString(JsonFormat.printer().print(each)));
    }
    return made;
  }

  private static List<Message> all(Iterator<Message> responses) {
    List<Message> made = new ArrayList<>();
    responses.forEachRemaining(made::add);
    return made;
  }

  private static List<Message> stream(
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
            AnalysisServiceGrpc.getServiceDescriptor())
        .map(ServiceDescriptor::getMethods)
        .flatMap(Collection::stream)
        .filter(each -> each.getFullMethodName().equals("akin.v1." + name.replace('.', '/')))
        .map(each -> (MethodDescriptor<Message, Message>) each)
        .findFirst()
        .orElseThrow();
  }

  private static Message message(MethodDescriptor<Message, Message> method, JsonElement json)
      throws InvalidProtocolBufferException {
    PrototypeMarshaller<Message> marshaller =
        (PrototypeMarshaller<Message>) method.getRequestMarshaller();
    Message.Builder builder = marshaller.getMessagePrototype().newBuilderForType();
    JsonFormat.parser().merge(json.toString(), builder);
    return builder.build();
  }
}
