// How a tuner written in C++ asks gpuprobe: one process beside it, a line of JSON each way.
//
//   g++ -std=c++17 -O2 docs/examples/jsonl_client.cpp -o jsonl_client
//   ./jsonl_client h100-sxm 4096 4096 4096 bf16
//
// POSIX only. A real tuner would read the answers with its own JSON library; two keys need none.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

class Predictor {
public:
    explicit Predictor(std::vector<std::string> command) {
        int down[2], up[2];
        if (pipe(down) != 0 || pipe(up) != 0) throw std::runtime_error("no pipes");
        child_ = fork();
        if (child_ < 0) throw std::runtime_error("cannot start gpuprobe");
        if (child_ == 0) {
            dup2(down[0], STDIN_FILENO);
            dup2(up[1], STDOUT_FILENO);
            for (int end : {down[0], down[1], up[0], up[1]}) close(end);
            std::vector<char*> arguments;
            for (auto& word : command) arguments.push_back(word.data());
            arguments.push_back(nullptr);
            execvp(arguments[0], arguments.data());
            _exit(127);
        }
        close(down[0]);
        close(up[1]);
        to_ = fdopen(down[1], "w");
        from_ = fdopen(up[0], "r");
    }
    Predictor(const Predictor&) = delete;

    ~Predictor() {
        fclose(to_);  // the end of its input is the end of gpuprobe
        fclose(from_);
        waitpid(child_, nullptr, 0);
    }

    // One line there, one line back. Questions may also be sent ahead and told apart by a key "id".
    std::string ask(const std::string& question) {
        std::fprintf(to_, "%s\n", question.c_str());
        std::fflush(to_);
        std::string answer;
        for (int c; (c = std::fgetc(from_)) != EOF && c != '\n';) answer += static_cast<char>(c);
        if (answer.empty()) throw std::runtime_error("gpuprobe ended");
        if (answer.find("\"error\"") != std::string::npos) throw std::runtime_error(answer);
        return answer;
    }

private:
    pid_t child_ = -1;
    FILE* to_ = nullptr;
    FILE* from_ = nullptr;
};

// The number after "key": in text, from place on.
static double number_of(const std::string& text, const std::string& key, size_t place = 0) {
    const size_t at = text.find("\"" + key + "\":", place);
    if (at == std::string::npos) throw std::runtime_error("no " + key + " in " + text);
    return std::strtod(text.c_str() + at + key.size() + 3, nullptr);
}

int main(int count, char** words) {
    if (count != 6) {
        std::fprintf(stderr, "usage: %s GPU M N K DTYPE\n", words[0]);
        return 2;
    }
    const std::string gpu = words[1], dtype = words[5];
    const std::string gemm = std::string("{\"m\": ") + words[2] + ", \"n\": " + words[3] + ", \"k\": " + words[4] +
                             ", \"dtype\": \"" + dtype + "\"";
    const char* program = std::getenv("GPUPROBE") ? std::getenv("GPUPROBE") : "gpuprobe";
    try {
        Predictor library({program, "predict", "gemm", "--gpu", gpu, "--jsonl"});
        const std::string answer = library.ask(gemm + "}");
        std::printf("library %.2f us\n", number_of(answer, "time_s", answer.find("\"hot\"")) * 1e6);

        Predictor kernels({program, "predict", "kernel", "--gpu", gpu, "--jsonl"});
        const std::vector<std::string> configs = {"[128, 256, 64, 8, 8, 3]", "[64, 64, 32, 8, 4, 3]", "[256, 256, 128, 8, 8, 5]"};
        std::string list;
        for (const auto& config : configs) list += (list.empty() ? "" : ", ") + config;
        const std::string ranked = kernels.ask(gemm + ", \"configs\": [" + list + "]}");
        const size_t best = static_cast<size_t>(number_of(ranked, "best"));
        std::printf("measure first %s\n", configs.at(best).c_str());
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        return 1;
    }
    return 0;
}
