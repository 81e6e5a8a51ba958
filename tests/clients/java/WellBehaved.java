import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.util.JsonFormat;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Clients of the gateway as services in Java have them, with grpc-java and DynamicMessage; tests/it/well_behaved.rs says what they do,
 * and well_behaved.py what is read and printed.
 */
public class WellBehaved {
    static final Metadata.Key<byte[]> DETAILS = Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
    static final Metadata.Key<String> KEY = Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER);
    static final Map<String, List<Double>> took = new HashMap<>();
    static final List<Map<String, String>> failures = new ArrayList<>();
    static volatile boolean over;

    /** A method and its request, built once: what is looked at is the gateway. */
    record Call(MethodDescriptor<DynamicMessage, DynamicMessage> method, DynamicMessage request, int seconds) {
        static Call of(Map<String, FileDescriptor> files, JsonObject call) throws Exception {
            String service = call.get("service").getAsString();
            int dot = service.lastIndexOf('.');
            Descriptors.MethodDescriptor method = files.values().stream()
                    .filter(file -> file.getPackage().equals(service.substring(0, dot)))
                    .map(file -> file.findServiceByName(service.substring(dot + 1)))
                    .filter(found -> found != null).findFirst().get()
                    .findMethodByName(call.get("method").getAsString());
            DynamicMessage.Builder request = DynamicMessage.newBuilder(method.getInputType());
            JsonFormat.parser().merge(call.get("request").toString(), request);
            boolean streams = method.isServerStreaming();
            return new Call(MethodDescriptor.<DynamicMessage, DynamicMessage>newBuilder()
                    .setFullMethodName(MethodDescriptor.generateFullMethodName(service, method.getName()))
                    .setType(streams ? MethodDescriptor.MethodType.SERVER_STREAMING : MethodDescriptor.MethodType.UNARY)
                    .setRequestMarshaller(ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(method.getInputType())))
                    .setResponseMarshaller(ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(method.getOutputType())))
                    .build(), request.build(), call.get("seconds").getAsInt());
        }

        Iterator<DynamicMessage> stream(Channel channel, CallOptions options) {
            return ClientCalls.blockingServerStreamingCall(channel, method, options, request);
        }

        void make(Channel channel) {
            long begun = System.nanoTime();
            CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(seconds, TimeUnit.SECONDS);
            try {
                if (method.getType() == MethodDescriptor.MethodType.UNARY) {
                    ClientCalls.blockingUnaryCall(channel, method, options, request);
                } else {
                    stream(channel, options).forEachRemaining(reply -> {});
                }
                synchronized (took) {
                    took.computeIfAbsent(method.getBareMethodName(), name -> new ArrayList<>()).add((System.nanoTime() - begun) / 1e6);
                }
            } catch (StatusRuntimeException error) {
                failed(error);
            }
        }

        void failed(StatusRuntimeException error) {
            byte[] details = error.getTrailers() == null ? null : error.getTrailers().get(DETAILS);
            synchronized (failures) {
                failures.add(Map.of("method", method.getBareMethodName(), "code", error.getStatus().getCode().name(),
                        "message", String.valueOf(error.getStatus().getDescription()),
                        "details", details == null ? "" : Base64.getEncoder().encodeToString(details)));
            }
        }
    }

    static Map<String, FileDescriptor> files(byte[] descriptors) throws Exception {
        Map<String, FileDescriptor> files = new HashMap<>();
        // Each file comes after those that it imports.
        for (FileDescriptorProto file : FileDescriptorSet.parseFrom(descriptors).getFileList()) {
            FileDescriptor[] imports = file.getDependencyList().stream().map(files::get).toArray(FileDescriptor[]::new);
            files.put(file.getName(), FileDescriptor.buildFrom(file, imports));
        }
        return files;
    }

    /** Begins to watch the health, and returns after the first word. */
    static void watch(Call watch, Channel channel) {
        Iterator<DynamicMessage> health = watch.stream(channel, CallOptions.DEFAULT.withWaitForReady());
        health.next();
        Thread watcher = new Thread(() -> {
            try {
                health.forEachRemaining(word -> {});
                throw io.grpc.Status.OK.asRuntimeException();
            } catch (StatusRuntimeException error) {
                if (!over) {
                    watch.failed(error);
                }
            }
        });
        watcher.setDaemon(true);
        watcher.start();
    }

    public static void main(String[] arguments) throws Exception {
        JsonObject plan = JsonParser.parseString(Files.readString(Path.of(arguments[0]))).getAsJsonObject();
        Map<String, FileDescriptor> files = files(Files.readAllBytes(Path.of(plan.get("descriptors").getAsString())));
        List<Call> calls = new ArrayList<>();
        for (JsonElement call : plan.getAsJsonArray("calls")) {
            calls.add(Call.of(files, call.getAsJsonObject()));
        }
        Call watch = Call.of(files, plan.getAsJsonObject("watch"));
        JsonArray clients = plan.getAsJsonArray("clients");
        List<Thread> workers = new ArrayList<>();
        for (JsonElement client : clients) {
            String key = client.getAsJsonObject().get("key").getAsString();
            Channel channel = Grpc.newChannelBuilder(plan.get("address").getAsString(), InsecureChannelCredentials.create())
                    .maxInboundMessageSize(16 << 20).build();
            if (!key.isEmpty()) {
                Metadata metadata = new Metadata();
                metadata.put(KEY, key);
                channel = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(metadata));
            }
            watch(watch, channel);
            AtomicInteger turn = new AtomicInteger(client.getAsJsonObject().get("first").getAsInt());
            Channel own = channel;
            for (int worker = 0; worker < plan.get("at_a_time").getAsInt(); worker++) {
                workers.add(new Thread(() -> work(plan, calls, turn, own)));
            }
        }
        System.out.println("ready");
        System.in.read();
        workers.forEach(Thread::start);
        for (Thread worker : workers) {
            worker.join();
        }
        over = true;
        System.out.println(new Gson().toJson(Map.of("took", took, "failures", failures)));
        System.exit(0);
    }

    static void work(JsonObject plan, List<Call> calls, AtomicInteger turn, Channel channel) {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(plan.get("seconds").getAsInt());
        double pause = 2 * plan.get("pause_ms").getAsDouble();
        while (true) {
            try {
                Thread.sleep((long) (ThreadLocalRandom.current().nextDouble() * pause));
            } catch (InterruptedException never) {
                return;
            }
            if (System.nanoTime() > until) {
                return;
            }
            calls.get(turn.getAndIncrement() % calls.size()).make(channel);
        }
    }
}
